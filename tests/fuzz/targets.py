"""What the fuzzers run: each target takes bytes, and whatever it raises is a finding."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from functools import cache

from dqlite_dbapi import _rows
from dqlite_dbapi.errors import ConnectionLost, Error, InterfaceError
from dqlite_dbapi.nodestore import MemoryNodeStore
from dqlite_dbapi.options import Options, check_database, parse, parse_address
from dqlite_dbapi.protocol import admin
from dqlite_dbapi.protocol.copying import Fetch
from dqlite_dbapi.protocol.effects import Flow, Into, Limit, Open
from dqlite_dbapi.protocol.prepared import Prepared
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire import pyrows, rows
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import encode
from dqlite_node.frames import NAMES, ROLES, VERSIONS, Forbidden, Inspector, Malformed
from tests.fuzz.fragments import sentence
from tests.fuzz.statements import Judge

_DAMAGE = (ValueError, IndexError, struct.error)
_FLOWS = 10
_HEADER = struct.Struct("<IBBH")


def decode_rows(data: bytes) -> None:
    """The row decoders in C and in Python: the same rows or both an error."""
    if not data:
        return
    columns = data[0] % 40
    names = struct.pack("<Q", columns) + b"a".ljust(8, b"\0") * columns
    body = names + data[1:] + bytes(-(len(data) - 1) % 8)
    offset = rows.decode_header(body).offset
    outcomes: list[object] = []
    for decode in (_rows.decode, pyrows.decode):
        found: list[pyrows.Row] = []
        try:
            outcomes.append((decode(body, offset, columns, found), repr(found)))
        except _DAMAGE:
            outcomes.append("damaged")
    assert outcomes[0] == outcomes[1], outcomes
    _decode_answer(_HEADER.pack(len(body) // 8, 7, 0, 0) + body)
    _decode_answer(data[1:])


def _decode_answer(chunk: bytes) -> None:
    answers = [repr(decode(chunk)) for decode in (_rows.decode_answer, pyrows.decode_answer)]
    assert answers[0] == answers[1], answers


def read_session(data: bytes) -> None:
    """Every flow that reads answers: rows, a value, or one of the driver's errors."""
    if len(data) < 2:
        return
    flow_number, cut, stream = data[0], data[1] + 1, data[2:]
    ticks = itertools.count()
    session = Session("h:1", lambda: float(next(ticks)), 1000.0)
    if flow_number % _FLOWS > 1:
        session.to(State.OPENING)
        session.to(State.READY)
    flow = _flow(flow_number % _FLOWS, session)
    try:
        _feed(flow, (stream[at : at + cut] for at in range(0, len(stream), cut)))
    except Error:
        pass
    else:
        assert not session.is_unfinished


def _flow(number: int, session: Session) -> Flow[object]:
    request = encode(Request.EXEC_SQL, 0, "DELETE FROM t", ())
    flows: list[Callable[[], Flow[object]]] = [
        lambda: session.open("db"),
        lambda: session.open(None),
        lambda: _everything(session),
        lambda: session.burst(request * 3, 3),
        lambda: admin.cluster(session),
        lambda: admin.dump(session, "db"),
        lambda: admin.describe(session),
        lambda: session.call(request),
        lambda: Prepared().begin(session, b"DELETE FROM t".ljust(16, b"\0")),
        lambda: _fetch().at("h:1"),
    ]
    return flows[number]()


class _Nowhere:
    """Keeps nothing of a copy."""

    def begin(self, index: int) -> None:
        """See `copying.Sink`."""

    def write(self, piece: bytes) -> None:
        """See `copying.Sink`."""


def _fetch() -> Fetch:
    ticks = itertools.count()
    view = MemoryNodeStore(("h:1",))
    return Fetch(view, "db", _Nowhere(), 1e6, lambda: float(next(ticks)), lambda: 0.5)


def _everything(session: Session) -> Flow[int]:
    part = yield from session.query(encode(Request.QUERY_SQL, 0, "SELECT 1", ()))
    count = len(part.rows)
    while part.more:
        part = yield from session.next_part()
        count += len(part.rows)
    return count


def _feed(flow: Flow[object], chunks: Iterator[bytes]) -> None:
    """Drive `flow` with `chunks`, and with a closed connection behind them."""
    rest = b""
    try:
        effect = next(flow)
        while True:
            chunk = rest or next(chunks, b"")
            rest = b""
            if isinstance(effect, Open | Limit):
                rest = chunk
                effect = flow.send(None)
            elif not chunk:
                effect = flow.throw(ConnectionLost("closed"))
            elif isinstance(effect, Into):
                count = min(len(effect.room), len(chunk))
                effect.room[:count] = chunk[:count]
                rest = chunk[count:]
                effect = flow.send(count)
            else:
                effect = flow.send(chunk)
    except StopIteration:
        return


def inspect_frames(data: bytes) -> None:
    """The gate: the same verdict however the stream is cut, and nothing forbidden passes."""
    if len(data) < 2:
        return
    role = sorted(ROLES)[data[0] % len(ROLES)]
    cut = data[1] % 32 + 1
    stream = struct.pack("<Q", 1) * (data[0] >= 128) + data[2:]
    verdicts = [_verdict(stream, role, step) for step in (len(stream) or 1, 1, cut)]
    assert verdicts[0][1] == verdicts[1][1] == verdicts[2][1], verdicts
    for passed, _ in verdicts:
        assert stream.startswith(passed)
        _check_passed(passed, role)


def _verdict(stream: bytes, role: str, step: int) -> tuple[bytes, str]:
    inspector = Inspector(ROLES[role], lambda node_id, _: "no" if node_id == 3 else None)
    passed = b""
    for at in range(0, len(stream), step):
        try:
            passed += inspector.feed(stream[at : at + step])
        except (Malformed, Forbidden) as error:
            return passed, type(error).__name__
    return passed, "raft" if inspector.is_raft else "fine"


def _check_passed(passed: bytes, role: str) -> None:
    """Read what went to the engine as it would; a message may be cut short, not wrong."""
    if len(passed) < 8:
        return
    assert struct.unpack_from("<Q", passed)[0] in VERSIONS
    at = 8
    while at + 8 <= len(passed):
        words, kind, schema, _ = _HEADER.unpack_from(passed, at)
        assert words, "a message without a body"
        assert schema <= 1, f"schema {schema}"
        assert kind in NAMES, f"type {kind}"
        assert kind in ROLES[role], f"{NAMES[kind]} from a {role}"
        body = passed[at + 8 : at + 8 + words * 8]
        if NAMES[kind] == "CONNECT":
            assert struct.unpack_from("<Q", body)[0] != 3
            return
        if NAMES[kind] in ("OPEN", "DUMP"):
            name = body.split(b"\0")[0]
            check_database(name.decode())
        at += 8 + words * 8


def parse_options(data: bytes) -> None:
    """URLs and addresses: options that can be parsed again to the same, or `InterfaceError`."""
    text = data.decode("utf-8", "replace")
    for target in (text, "dqlite://" + text, [text]):
        try:
            options = parse(target, tls_key_password="hush-hush")
        except InterfaceError as error:
            shown = str(error)
        else:
            shown = repr(options)
            _parse_again(options)
        assert "hush-hush" not in shown


def _parse_again(options: Options) -> None:
    assert parse(options) == options
    assert check_database(options.database) == options.database
    for address in options.addresses:
        assert parse_address(address) == address
        assert "," not in address or address.startswith("@"), address


_judge = cache(Judge)


def judge_statements(data: bytes) -> None:
    """The classifier and the guard against SQLite: see `tests.fuzz.statements`."""
    _judge().judge(sentence(data))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "rows": decode_rows,
    "session": read_session,
    "gate": inspect_frames,
    "options": parse_options,
    "statements": judge_statements,
}
