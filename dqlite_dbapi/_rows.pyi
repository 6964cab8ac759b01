from collections.abc import Callable, Sequence
from typing import Any

Answer = tuple[tuple[str, ...], list[tuple[Any, ...]], bool, bytes]

def decode(
    body: bytes | bytearray, offset: int, columns: int, out: list[tuple[Any, ...]], /
) -> bool: ...
def decode_answer(chunk: bytes, /) -> Answer | None: ...
def encode_params(
    head: bytes,
    values: Sequence[object],
    wide: bool,
    slow: Callable[[Any, int, Any], tuple[int, bytes]],
    adapters: object,
    /,
) -> bytes: ...
def encode_row(
    values: Sequence[object],
    slow: Callable[[Any, int, Any], tuple[int, bytes]],
    adapters: object,
    /,
) -> tuple[bytes, bytes]: ...
def ask(descriptor: int, message: bytes, /) -> Answer | bytes: ...
def exchange(descriptor: int, message: bytes, /) -> bytes: ...
