"""Parameter tuples: a count, one type code each, padding, then the values (wire-protocol 3.2)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, ValueType
from dqlite_dbapi.wire.values import F64, I64, U32, encode_blob, encode_text

_NULL = b"\0" * 8
_INTEGER, _FLOAT, _TEXT, _BLOB = (
    int(ValueType.INTEGER),
    int(ValueType.FLOAT),
    int(ValueType.TEXT),
    int(ValueType.BLOB),
)
_NULL_CODE = int(ValueType.NULL)
_PADDING = tuple(b"\0" * count for count in range(1, 9))

Encoded = tuple[int, bytes]


class Adapting(Protocol):
    """What `encode_params` needs of `dqlite_dbapi.types.Adapters`."""

    covers_natives: bool

    def adapt(self, value: object, /) -> object:
        """Replace a parameter by one of a native type, or return it as it is."""
        ...


def encode_params(
    values: Sequence[object], *, wide: bool = False, adapters: Adapting | None = None
) -> bytes:
    """Encode `values`, in the form of schema 0 or, with `wide`, of schema 1 (32-bit count).

    Accepts None, int (64 bits, signed), float, str, their subclasses, and objects with the buffer
    protocol. Any other goes through `adapters` first, and these too if they cover native types.
    `DataError` for a value out of range or with NUL, `ProgrammingError` for another type.
    """
    count = len(values)
    if not count:
        return b""
    if not wide and count > MAX_NARROW_PARAMS:
        raise ProgrammingError(f"{count} parameters do not fit a tuple of schema 0")
    if adapters is not None and adapters.covers_natives:
        values = [adapters.adapt(value) for value in values]
        adapters = None
    codes = bytearray(U32.pack(count) if wide else (count,))
    parts: list[bytes] = [b""]
    encoder_of = _ENCODERS.get
    for position, value in enumerate(values, 1):
        encoder = encoder_of(type(value))
        if encoder is None:
            value = value if adapters is None else adapters.adapt(value)  # noqa: PLW2901
            encoder = _ENCODERS.get(type(value)) or _encoder(value, position)
        code, raw = encoder(value, position)
        codes.append(code)
        parts.append(raw)
    codes.extend(bytes(-len(codes) & 7))
    parts[0] = bytes(codes)
    return b"".join(parts)


def _null(_value: None, _position: int) -> Encoded:
    return _NULL_CODE, _NULL


def _integer(value: int, position: int) -> Encoded:
    try:
        return _INTEGER, I64.pack(value)
    except struct.error:
        raise DataError(
            f"parameter {position} is {_short(value)}, beyond a signed 64-bit integer",
            hint="store it as TEXT or REAL",
        ) from None


def _float(value: float, _position: int) -> Encoded:
    return _FLOAT, F64.pack(value)


def _text(value: str, position: int) -> Encoded:
    try:
        raw = str.encode(value)
    except UnicodeEncodeError:
        raw = None
    if raw is None or b"\0" in raw:
        return _TEXT, encode_text(str.__str__(value), f"parameter {position}")  # raises
    return _TEXT, raw + _PADDING[~len(raw) & 7]


def _blob(value: bytes | bytearray | memoryview, _position: int) -> Encoded:
    return _BLOB, encode_blob(value)


def _buffer(value: Any, position: int) -> Encoded:
    """A BLOB of what an object such as an array shows; numpy's scalars show raw words."""
    view = memoryview(value)
    if not getattr(value, "ndim", view.ndim) or "O" in view.format:
        raise ProgrammingError(
            f"parameter {position} of type {type(value).__qualname__} is no sequence of bytes",
            hint="pass a plain value, as value.item() of a numpy scalar gives it",
        )
    return _blob(view, position)


def _short(value: int) -> str:
    return f"{value}" if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"


_ENCODERS: dict[type, Callable[[Any, int], Encoded]] = {
    type(None): _null,
    str: _text,
    int: _integer,
    bool: _integer,
    float: _float,
    bytes: _blob,
    bytearray: _blob,
    memoryview: _blob,
}
NATIVE = frozenset(_ENCODERS)  #: types that have a storage class and need no adapter


def is_native(value: object) -> bool:
    """True for a subclass of a native type, which is bound as that (as `sqlite3` does)."""
    return isinstance(value, (str, int, float, bytes, bytearray))


def _encoder(value: object, position: int) -> Callable[[Any, int], Encoded]:
    for kind in (str, int, float, bytes, bytearray):
        if isinstance(value, kind):
            return _ENCODERS[kind]
    try:
        memoryview(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        raise ProgrammingError(
            f"parameter {position} is of type {type(value).__qualname__}, which has no SQLite type",
            hint="pass None, int, float, str or bytes, or register an adapter for the type",
        ) from None
    return _buffer
