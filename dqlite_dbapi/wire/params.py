"""Parameter tuples: a count, one type code each, padding, then the values (wire-protocol 3.2)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.wire import _accel
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, ValueType
from dqlite_dbapi.wire.values import F64, I64, encode_blob, encode_text

Encoded = tuple[int, bytes]


class Adapting(Protocol):
    """What `encode_params` needs of `dqlite_dbapi.types.Adapters`."""

    covers_natives: bool

    def adapt(self, value: object, /) -> object:
        """Replace a parameter by one of a native type, or return it as it is."""
        ...


def encode_params(
    values: Sequence[object],
    *,
    wide: bool = False,
    adapters: Adapting | None = None,
    head: bytes = b"",
) -> bytes:
    """Encode `values` behind `head`, in the form of schema 0 or, with `wide`, of schema 1.

    Accepts None, int (64 bits, signed), float, str, their subclasses, and objects with the buffer
    protocol. Any other goes through `adapters` first, and these too if they cover native types.
    `DataError` for a value out of range or with NUL, `ProgrammingError` for another type. A `head`
    begins with the header of a message, whose size is filled in.
    """
    count = len(values)
    if not count:
        return head
    if not wide and count > MAX_NARROW_PARAMS:
        raise ProgrammingError(f"{count} parameters do not fit a tuple of schema 0")
    if adapters is not None and adapters.covers_natives:
        values = [adapters.adapt(value) for value in values]
        adapters = None
    return _accel.encode_params(head, values, wide, encode_value, adapters)


def encode_row(values: Sequence[object], adapters: Adapting | None = None) -> bytes:
    """The type codes of `values`, then their bytes; `_accel.join_rows` makes one tuple of many."""
    if adapters is not None and adapters.covers_natives:
        values = [adapters.adapt(value) for value in values]
        adapters = None
    return _accel.encode_row(values, encode_value, adapters)


def encode_value(value: Any, position: int, adapters: Adapting | None) -> Encoded:
    """Encode one value of any type that is accepted, or raise what is wrong with it."""
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        value = value if adapters is None else adapters.adapt(value)
        encoder = _ENCODERS.get(type(value)) or _encoder(value, position)
    return encoder(value, position)


def _null(_value: None, _position: int) -> Encoded:
    return int(ValueType.NULL), bytes(8)


def _integer(value: int, position: int) -> Encoded:
    try:
        return int(ValueType.INTEGER), I64.pack(value)
    except struct.error:
        raise DataError(
            f"parameter {position} is {_short(value)}, beyond a signed 64-bit integer",
            hint="store it as TEXT or REAL",
        ) from None


def _float(value: float, _position: int) -> Encoded:
    return int(ValueType.FLOAT), F64.pack(value)


def _text(value: str, position: int) -> Encoded:
    return int(ValueType.TEXT), encode_text(str.__str__(value), f"parameter {position}")


def _blob(value: bytes | bytearray | memoryview, _position: int) -> Encoded:
    return int(ValueType.BLOB), encode_blob(value)


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
