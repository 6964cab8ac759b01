"""Picks the codec of rows and parameters: C where it was built, else Python.

`DQLITE_DBAPI_ACCEL` forces either: `c` or `python`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from dqlite_dbapi.wire import pyparams, pyrows

accelerator = "python"
decode, decode_parts, decode_answer = pyrows.decode, pyrows.decode_parts, pyrows.decode_answer
blank, enlarge = pyrows.blank, pyrows.enlarge
encode_params, encode_row = pyparams.encode_params, pyparams.encode_row
encode_rows, join_rows = pyparams.encode_rows, pyparams.join_rows
#: Send a message on a blocking socket, by descriptor, and return the first chunk of what comes, or
#: without one the next, after so many bytes; `ask` decodes a whole one as `decode_answer` does.
exchange: Callable[[int, bytes, int], bytes] | None = None
ask: Callable[[int, bytes], pyrows.Answer | bytes] | None = None
#: As `ask` receives, from a socket that does not block; None where nothing has come.
take: Callable[[int], pyrows.Answer | bytes | None] | None = None

_wanted = os.environ.get("DQLITE_DBAPI_ACCEL", "auto")
if _wanted not in ("auto", "c", "python"):
    raise ImportError(f"DQLITE_DBAPI_ACCEL is {_wanted!r}; it takes auto, c or python")
if _wanted != "python":
    try:
        from dqlite_dbapi import _rows

        # In one assignment: an older build must not be used in part.
        (
            decode, decode_parts, decode_answer, blank, enlarge,
            encode_params, encode_row, encode_rows, join_rows,
            ask, exchange, take,
        ) = (
            _rows.decode, _rows.decode_parts, _rows.decode_answer, _rows.blank, _rows.enlarge,
            _rows.encode_params, _rows.encode_row, _rows.encode_rows, _rows.join_rows,
            _rows.ask, _rows.exchange, _rows.take,
        )  # fmt: skip
        accelerator = "c"
    except (ImportError, AttributeError) as missing:  # AttributeError: an older build lies there
        if _wanted == "c":
            raise ImportError("the C codec is not built: reinstall with a C compiler") from missing
