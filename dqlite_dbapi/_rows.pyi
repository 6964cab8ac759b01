from dqlite_dbapi.wire.pyparams import encode_params as encode_params
from dqlite_dbapi.wire.pyparams import encode_row as encode_row
from dqlite_dbapi.wire.pyparams import encode_rows as encode_rows
from dqlite_dbapi.wire.pyparams import join_rows as join_rows
from dqlite_dbapi.wire.pyrows import Answer
from dqlite_dbapi.wire.pyrows import blank as blank
from dqlite_dbapi.wire.pyrows import decode as decode
from dqlite_dbapi.wire.pyrows import decode_answer as decode_answer
from dqlite_dbapi.wire.pyrows import decode_parts as decode_parts
from dqlite_dbapi.wire.pyrows import enlarge as enlarge

def ask(descriptor: int, message: bytes, /) -> Answer | bytes: ...
def take(descriptor: int, /) -> Answer | bytes | None: ...
def exchange(descriptor: int, message: bytes, before: int, /) -> bytes: ...
