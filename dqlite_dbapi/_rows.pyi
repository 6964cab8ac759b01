from collections.abc import Callable, Sequence
from typing import Any

Answer = tuple[tuple[str, ...], list[tuple[Any, ...]], bool, bytes]

def decode(
    body: bytes | bytearray, offset: int, columns: int, out: list[tuple[Any, ...]], /
) -> bool: ...
def decode_parts(
    data: bytes, offset: int, header: bytes, columns: int, out: list[tuple[Any, ...]], /
) -> tuple[int, bool]: ...
def enlarge(memory: bytearray, size: int, /) -> None: ...
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
) -> bytes: ...
def encode_rows(
    items: Sequence[object],
    start: int,
    slots: int,
    order: tuple[int, ...],
    out: list[bytes],
    most: int,
    room: int,
    /,
) -> tuple[int, int]: ...
def join_rows(head: bytes, rows: list[bytes], count: int, wide: bool, /) -> bytes: ...
def ask(descriptor: int, message: bytes, /) -> Answer | bytes: ...
def exchange(descriptor: int, message: bytes, /) -> bytes: ...
