"""What may pass from a peer to the engine: a check of the byte stream, without IO (W 1 and 2).

Only headers and the first words of a few requests are looked at; bodies are never gathered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

WORD = 8
VERSIONS = frozenset({1, 0x86104DD760433FE5})  #: first word of a connection: present, before 1.0
MAX_WORDS = 2**27  #: 1 GiB; the engine counts sizes in 32 bits
MAX_NAME = 255
_HEADER = struct.Struct("<IBBH")
_U64 = struct.Struct("<Q")

LEADER, CLIENT, OPEN, PREPARE, EXEC, QUERY, FINALIZE, EXEC_SQL, QUERY_SQL, INTERRUPT = (
    0, 1, 3, 4, 5, 6, 7, 8, 9, 10,
)  # fmt: skip
CONNECT, ADD, ASSIGN, REMOVE, DUMP, CLUSTER, TRANSFER, DESCRIBE, WEIGHT = range(11, 20)

NAMES: Mapping[int, str] = {
    LEADER: "LEADER", CLIENT: "CLIENT", OPEN: "OPEN", PREPARE: "PREPARE", EXEC: "EXEC",
    QUERY: "QUERY", FINALIZE: "FINALIZE", EXEC_SQL: "EXEC_SQL", QUERY_SQL: "QUERY_SQL",
    INTERRUPT: "INTERRUPT", CONNECT: "CONNECT", ADD: "ADD", ASSIGN: "ASSIGN", REMOVE: "REMOVE",
    DUMP: "DUMP", CLUSTER: "CLUSTER", TRANSFER: "TRANSFER", DESCRIBE: "DESCRIBE",
    WEIGHT: "WEIGHT",
}  # fmt: skip

_DISCOVERY = frozenset({LEADER, CLIENT, CLUSTER, DESCRIBE})
_SQL = frozenset({OPEN, PREPARE, EXEC, QUERY, FINALIZE, EXEC_SQL, QUERY_SQL, INTERRUPT})
_MEMBERSHIP = frozenset({ADD, ASSIGN, REMOVE, TRANSFER, WEIGHT})
#: role in a certificate -> request types that it allows; several roles add up.
ROLES: Mapping[str, frozenset[int]] = {
    "client": _DISCOVERY | _SQL,
    "backup": _DISCOVERY | {DUMP},
    "operator": _DISCOVERY | _SQL | _MEMBERSHIP | {DUMP},
    "member": _DISCOVERY | _SQL | _MEMBERSHIP | {DUMP, CONNECT},
}

#: LEADER with schema 1 is how clients tell engines apart (W 1.4).
_SCHEMA_1 = frozenset({LEADER, PREPARE, EXEC, QUERY, EXEC_SQL, QUERY_SQL})
_NAME_BYTES = (MAX_NAME // WORD + 1) * WORD
_ADDRESS_BYTES = WORD + 512
#: request type -> how many bytes of the body the check needs, at most.
_NEEDED: Mapping[int, int] = {
    OPEN: _NAME_BYTES,
    DUMP: _NAME_BYTES,
    CLUSTER: WORD,
    DESCRIBE: WORD,
    CONNECT: _ADDRESS_BYTES,
}


class Malformed(Exception):
    """Bytes that no proper client sends; the connection is to be cut."""


class Forbidden(Exception):
    """A proper request that the certificate's roles do not allow."""


class Inspector:
    """One connection's stream of requests, from its first byte; `feed` until it raises."""

    def __init__(self, allowed: frozenset[int], connects: Callable[[int, str], str | None]) -> None:
        """`connects` is given id and address of a CONNECT, and returns why it is refused or None.

        After a CONNECT that passed, the stream is raft's and passes unchecked.
        """
        self._allowed = allowed
        self._connects = connects
        self._is_raft = False
        self._greeted = False
        self._left = 0
        self._held = b""

    @property
    def is_raft(self) -> bool:
        """Whether a member has taken over the stream."""
        return self._is_raft

    def feed(self, chunk: bytes) -> bytes:
        """Bytes that may be passed on now; an unfinished header waits for the next call.

        Malformed and Forbidden mean that nothing of this chunk and of later ones may pass.
        """
        if self._is_raft:
            return chunk
        if self._held:
            chunk = self._held + chunk
        end, at = len(chunk), self._left
        if not self._greeted and end >= WORD:
            if _U64.unpack_from(chunk)[0] not in VERSIONS:
                raise Malformed("the first word is no protocol version")
            self._greeted, at = True, WORD
        elif not self._greeted:
            self._held = chunk
            return b""
        while at < end and not self._is_raft:
            size = self._check(chunk, at, end - at)
            if size == 0:
                self._left, self._held = 0, chunk[at:]
                return chunk[:at]
            at += size
        self._left, self._held = max(at - end, 0), b""
        return chunk

    def _check(self, chunk: bytes, at: int, there: int) -> int:
        """Size in bytes of the message that begins at `at`; 0 while too little of it is there."""
        if there < WORD:
            return 0
        words, kind, schema, _ = _HEADER.unpack_from(chunk, at)
        if not 0 < words <= MAX_WORDS:
            raise Malformed(f"a body of {words} words")
        if kind not in NAMES:
            raise Malformed(f"request type {kind}")
        if schema > (kind in _SCHEMA_1):
            raise Malformed(f"{NAMES[kind]} with schema {schema}")
        if kind not in self._allowed:
            raise Forbidden(NAMES[kind])
        needed = min(_NEEDED.get(kind, 0), words * WORD)
        if there < WORD + needed:
            return 0
        if needed:
            self._check_body(kind, chunk[at + WORD : at + WORD + needed], words)
        return int(WORD + words * WORD)

    def _check_body(self, kind: int, body: bytes, words: int) -> None:
        if kind == DESCRIBE:
            if _U64.unpack_from(body)[0] != 0:
                raise Malformed("DESCRIBE with another format than 0")
        elif kind == CLUSTER:
            if _U64.unpack_from(body)[0] > 1:
                raise Malformed("CLUSTER with another format than 0 or 1")
        elif kind == CONNECT:
            self._check_connect(body, words)
        else:
            check_name(_text(body, 0))

    def _check_connect(self, body: bytes, words: int) -> None:
        if words * WORD > len(body) or len(body) < WORD:
            raise Malformed("CONNECT with a long address")
        address = _text(body, WORD).decode("ascii", "backslashreplace")
        problem = self._connects(_U64.unpack_from(body)[0], address)
        if problem is not None:
            raise Forbidden(f"CONNECT: {problem}")
        self._is_raft = True


def check_name(name: bytes) -> None:
    """Malformed for names of databases that crash members (server hazards H33), or are no text."""
    if (
        not 1 <= len(name) <= MAX_NAME
        or name == b":memory:"
        or name.startswith(b"file:")
        or name.endswith((b"-wal", b"-journal"))
        or not _is_utf8(name)
    ):
        raise Malformed(f"a database named {name[:60]!r}")


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(body: bytes, at: int) -> bytes:
    end = body.find(0, at)
    if end < 0:
        raise Malformed("a text without an end, or too long")
    return body[at:end]


def failure(code: int, message: str) -> bytes:
    """A FAILURE answer (W 2.2)."""
    text = message.encode() + b"\0"
    body = _U64.pack(code) + text + bytes(-len(text) % WORD)
    return _HEADER.pack(len(body) // WORD, 0, 0, 0) + body
