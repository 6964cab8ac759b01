"""Picks the codec of rows and parameters: C where it was built, else Python.

`DQLITE_DBAPI_ACCEL` forces either: `c` or `python`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from dqlite_dbapi.wire import pyparams, pyrows
from dqlite_dbapi.wire.pyparams import Slow

accelerator = "python"
decode: Callable[[bytes | bytearray, int, int, list[tuple[Any, ...]]], bool] = pyrows.decode
decode_parts: Callable[[bytes, int, bytes, int, list[tuple[Any, ...]]], tuple[int, bool]] = (
    pyrows.decode_parts
)
enlarge: Callable[[bytearray, int], None] = pyrows.enlarge
decode_answer: Callable[[bytes], pyrows.Answer | None] = pyrows.decode_answer
encode_params: Callable[[bytes, Sequence[object], bool, Slow, object], bytes]
encode_row: Callable[[Sequence[object], Slow, object], bytes]
encode_params, encode_row = pyparams.encode_params, pyparams.encode_row
encode_rows: Callable[
    [Sequence[object], int, int, tuple[int, ...], list[bytes], int, int],
    tuple[int, int],
] = pyparams.encode_rows
join_rows: Callable[[bytes, list[bytes], int, bool], bytes] = pyparams.join_rows
#: Send a message on a blocking socket, by descriptor, and return the first chunk of what comes;
#: `ask` returns what `decode_answer` makes of that, unless it is None.
exchange: Callable[[int, bytes], bytes] | None = None
ask: Callable[[int, bytes], pyrows.Answer | bytes] | None = None

_wanted = os.environ.get("DQLITE_DBAPI_ACCEL", "auto")
if _wanted not in ("auto", "c", "python"):
    raise ImportError(f"DQLITE_DBAPI_ACCEL is {_wanted!r}; it takes auto, c or python")
if _wanted != "python":
    try:
        from dqlite_dbapi import _rows

        decode_parts, enlarge = _rows.decode_parts, _rows.enlarge
        ask, exchange = _rows.ask, _rows.exchange
        encode_params, encode_row = _rows.encode_params, _rows.encode_row
        encode_rows, join_rows = _rows.encode_rows, _rows.join_rows
        decode, decode_answer, accelerator = _rows.decode, _rows.decode_answer, "c"
    except (ImportError, AttributeError) as missing:  # AttributeError: an older build lies there
        if _wanted == "c":
            raise ImportError("the C codec is not built: reinstall with a C compiler") from missing
