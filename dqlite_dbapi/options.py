"""The one option parser: URL, address list, environment and keywords into a frozen dataclass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from dqlite_dbapi.errors import InterfaceError

DEFAULT_PORT = 9001
DEFAULT_DATABASE = "main"
#: `sqlite3`'s constant of Python 3.12 for connections that `isolation_level` steers.
LEGACY_TRANSACTION_CONTROL = -1
CONSISTENCIES = ("leader", "linearizable", "stale")
_MAX_NAME = 255
_MAX_PORT = 65535
_MAX_SECONDS = 1e9
_NO_HOST = frozenset(" ,;/?#@[]\\\"'")  # in no host's name; a list in one text is several


class Event(NamedTuple):
    """What a connection went through: `kind` is connect, leader_change, reconnect or retry.

    `address` of the member now talked to ("" if none), `detail` in words.
    """

    kind: str
    address: str
    detail: str


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen for a connection; times are in seconds.

    Where: `addresses` of members, `database` name, `node_store` a file in go-dqlite's YAML format
    that is read for addresses and kept up to date.
    Time: `connect_timeout` to find the leader, `timeout` for one call with all its retries (a long
    result: for each part of it), `transaction_timeout` from BEGIN to COMMIT, `busy_timeout` to wait
    for another writer, `keepalive` idle time before a probe, `tcp_user_timeout` for unacknowledged
    data.
    Transactions: `begin` mode, `autocommit`, `isolation_level` (sqlite3's name for both),
    `consistency` of reads (`leader`, `linearizable`, or `stale` from a snapshot at most `staleness`
    old), `foreign_keys` (None: the server's habit, which is on).
    Safety: `guard` against statements that hurt servers (`strict` or `off`), `vacuum` allows
    VACUUM where the engine can do it.
    TLS: `ssl` (True or an `ssl.SSLContext`), `tls_ca`, `tls_cert`, `tls_key` files,
    `tls_key_password`, `tls_server_name` for clusters with one shared name.
    Values: `detect_types` and `row_factory` as in `sqlite3`.
    Watching: `slow_query` logs statements that took longer, `events` is called with each `Event`.
    """

    addresses: tuple[str, ...]
    database: str = DEFAULT_DATABASE
    connect_timeout: float = 10.0
    timeout: float = 30.0
    transaction_timeout: float | None = None
    busy_timeout: float = 5.0
    keepalive: float = 15.0
    tcp_user_timeout: float = 30.0
    begin: str = "deferred"
    autocommit: bool | int = False
    isolation_level: str | None = ""
    consistency: str = "leader"
    staleness: float = 5.0
    foreign_keys: bool | None = None
    guard: str = "strict"
    vacuum: bool = False
    detect_types: int = 0
    row_factory: Callable[..., Any] | None = field(default=None, repr=False)
    slow_query: float | None = None
    events: Callable[[Event], object] | None = field(default=None, repr=False)
    node_store: str | None = None
    ssl: object = field(default=None, repr=False)
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = field(default=None, repr=False)
    tls_key_password: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None


def parse(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    **keywords: object,
) -> Options:
    """Build `Options` from a target and keywords, which win over the URL's query string.

    `target` is `dqlite://h1:p,h2:p/db?option=value`, `h1:p,h2:p`, a list of addresses, or None for
    `DQLITE_URL`, else `node_store`, else `DQLITE_CLUSTER`, else 127.0.0.1:9001. Values may be text,
    as in a URL. `InterfaceError` for an unknown option (naming the nearest one) or a bad value.
    """
    given: dict[str, object] = {}
    if isinstance(target, Options):
        given = {item.name: getattr(target, item.name) for item in fields(target)}
        addresses = list(target.addresses)
        del given["addresses"]
        database = database or str(given.pop("database"))
    else:
        addresses, name, given = _read_target(target)
        database = database or name
    given.pop("database", None)
    given.update(keywords)
    if not addresses and given.get("node_store") is None:
        cluster = os.environ.get("DQLITE_CLUSTER") or f"127.0.0.1:{DEFAULT_PORT}"
        addresses = _split_hosts(cluster)
    if isinstance(target, Options):
        return _checked(tuple(addresses), database, given, keywords)
    choices = tuple((name, value.__class__, value) for name, value in given.items())
    if _PLAIN.issuperset(kind for _, kind, _ in choices) and "tls_key_password" not in given:
        return _remembered(tuple(addresses), database, choices)
    return _checked(tuple(addresses), database, given, given)


_PLAIN = frozenset({str, int, float, bool, type(None)})


@lru_cache(maxsize=64)
def _remembered(
    addresses: tuple[str, ...], database: str | None, choices: tuple[tuple[str, type, Any], ...]
) -> Options:
    """As `_checked`; the type is part of a choice since `True` equals 1."""
    given = {name: value for name, _, value in choices}
    return _checked(addresses, database, given, given)


def _checked(
    addresses: tuple[str, ...],
    database: str | None,
    given: Mapping[str, object],
    explicit: Mapping[str, object],
) -> Options:
    values = {name: _convert(name, value) for name, value in given.items()}
    _settle_transactions(values, explicit)
    return Options(
        addresses=tuple(dict.fromkeys(parse_address(address) for address in addresses)),
        database=check_database(database or DEFAULT_DATABASE),
        **values,
    )


def _read_target(target: str | Iterable[str] | None) -> tuple[list[str], str, dict[str, object]]:
    if target is None:
        target = os.environ.get("DQLITE_URL") or ""
    if not isinstance(target, str):
        return [str(address) for address in target], "", {}
    if "://" in target:
        return _parse_url(target)
    return _split_hosts(target), "", {}


def _parse_url(url: str) -> tuple[list[str], str, dict[str, object]]:
    scheme, _, rest = url.partition("://")
    if scheme != "dqlite":
        raise InterfaceError(
            f"the URL begins with {scheme!r}, not with 'dqlite'",
            hint="sqlite+dqlite:// and the like are for SQLAlchemy's create_engine, where further"
            " hosts are ?host=h2:9001",
        )
    rest, _, query = rest.partition("?")
    hosts, _, name = rest.partition("/")
    if "@" in hosts and not hosts.startswith("@"):
        raise InterfaceError("the URL holds a user name, and dqlite has no users")
    addresses = _split_hosts(unquote(hosts))
    given: dict[str, object] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "host":
            addresses += _split_hosts(value)
        elif key in _KEYWORDS_ONLY:
            raise InterfaceError(f"option {key} cannot be given in a URL; pass it as a keyword")
        else:
            given[key] = value
    return addresses, unquote(name), given


def _split_hosts(text: str) -> list[str]:
    if text.startswith("[") and text.endswith("]") and "," in text:
        text = text[1:-1]
    return [part.strip() for part in text.split(",") if part.strip()]


@lru_cache(maxsize=1024)
def parse_address(text: str) -> str:
    """Check an address and add the default port: `host:port`, `[IPv6]:port` or `@abstract`.

    `InterfaceError` names what is wrong with it.
    """
    if text.startswith("@"):
        return text
    host, port = split_address(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(maxsize=1024)
def split_address(text: str) -> tuple[str, int]:
    """Host without brackets and port of an address; `InterfaceError` when it has none."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else rest and "?"
        valid = bool(closed)
    elif text.count(":") > 1:
        host, port, valid = text, "", True
    else:
        host, _, port = text.partition(":")
        valid = True
    port = port or str(DEFAULT_PORT)
    valid = valid and _NO_HOST.isdisjoint(host) and host.isprintable()
    is_number = port.isascii() and port.isdigit() and len(port) <= len(str(_MAX_PORT))
    if not (valid and host and is_number and 0 < int(port) <= _MAX_PORT):
        raise InterfaceError(
            f"{text!r} is not an address",
            hint="write host:port, [IPv6]:port or @name for an abstract Unix socket",
        )
    return host, int(port)


def check_database(name: str) -> str:
    """Refuse names that crash members (server hazards H33); returns the name."""
    size = len(name.encode("utf-8", "surrogatepass"))
    bad = (
        not 1 <= size <= _MAX_NAME
        or "\0" in name
        or name == ":memory:"
        or name.startswith("file:")
        or name.endswith(("-wal", "-journal"))
    )
    if bad:
        raise InterfaceError(
            f"{name[:60]!r} cannot be the name of a database",
            hint="use 1 to 255 bytes, no NUL, not ':memory:', 'file:...', '*-wal' or '*-journal'",
        )
    return name


# -- values


def _seconds(value: object) -> float:
    seconds = float(value)  # type: ignore[arg-type]
    if not 0 <= seconds < _MAX_SECONDS:
        raise ValueError
    return seconds


_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _boolean(value: object) -> bool:
    return _WORDS[str(value).lower()]


def check_autocommit(value: object) -> bool | int:
    """`autocommit`: True, False or, as in sqlite3, LEGACY_TRANSACTION_CONTROL; else ValueError."""
    if str(value) == str(LEGACY_TRANSACTION_CONTROL):
        return LEGACY_TRANSACTION_CONTROL
    if str(value).lower() not in _WORDS:
        raise ValueError(f"autocommit is {value!r}; it takes True or False")
    return _boolean(value)


def _one_of(*choices: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        return choices[choices.index(str(value).lower())]

    return convert


def _optional(convert: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else convert(value)


def _callable(value: object) -> object:
    if not callable(value):
        raise TypeError
    return value


def check_isolation_level(value: object) -> str | None:
    """`isolation_level` in sqlite3's spelling: None, '' or a mode; ValueError for another."""
    if value is None or str(value).upper() == "NONE":
        return None
    level = str(value).upper()
    if level not in ("", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"):
        raise ValueError(f"isolation_level string must be '', 'DEFERRED', 'IMMEDIATE', or "
                         f"'EXCLUSIVE', not {value!r}")  # fmt: skip
    return level


_SWITCH = "true or false"
_TIME = "seconds"
_FILE = "a path"

_CONVERTERS: Mapping[str, tuple[Callable[[object], Any], str]] = {
    "connect_timeout": (_seconds, _TIME),
    "timeout": (_seconds, _TIME),
    "transaction_timeout": (_optional(_seconds), _TIME),
    "busy_timeout": (_seconds, _TIME),
    "keepalive": (_seconds, _TIME),
    "tcp_user_timeout": (_seconds, _TIME),
    "begin": (_one_of("deferred", "immediate", "exclusive"), "deferred, immediate or exclusive"),
    "autocommit": (check_autocommit, _SWITCH),
    "isolation_level": (check_isolation_level, "deferred, immediate, exclusive or none"),
    "consistency": (_one_of(*CONSISTENCIES), "leader, linearizable or stale"),
    "staleness": (_seconds, _TIME),
    "foreign_keys": (_optional(_boolean), _SWITCH),
    "guard": (_one_of("strict", "off"), "strict or off"),
    "vacuum": (_boolean, _SWITCH),
    "detect_types": (lambda value: int(str(value)), "PARSE_DECLTYPES and PARSE_COLNAMES"),
    "row_factory": (_optional(_callable), "a callable"),
    "slow_query": (_optional(_seconds), _TIME),
    "events": (_optional(_callable), "a callable"),
    "node_store": (_optional(os.fspath), _FILE),  # type: ignore[arg-type]
    "ssl": (lambda value: _WORDS.get(str(value).lower(), value), "true or an ssl.SSLContext"),
    "tls_ca": (_optional(os.fspath), _FILE),  # type: ignore[arg-type]
    "tls_cert": (_optional(os.fspath), _FILE),  # type: ignore[arg-type]
    "tls_key": (_optional(os.fspath), _FILE),  # type: ignore[arg-type]
    "tls_key_password": (_optional(str), "text"),
    "tls_server_name": (_optional(str), "a name"),
}
_KEYWORDS_ONLY = frozenset({"events", "row_factory"})


def _convert(name: str, value: object) -> Any:
    if name not in _CONVERTERS:
        known = [item.name for item in fields(Options)]
        import difflib

        near = difflib.get_close_matches(name, known, 1)
        raise InterfaceError(
            f"there is no option {name!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"options are {', '.join(known)}",
        )
    convert, expected = _CONVERTERS[name]
    try:
        return convert(value)
    except (ValueError, TypeError, KeyError):
        shown = "***" if name == "tls_key_password" else repr(value)
        raise InterfaceError(f"option {name} is {shown}; it takes {expected}") from None


def _settle_transactions(values: dict[str, Any], explicit: Mapping[str, object]) -> None:
    """Let an explicit `isolation_level` decide `begin` and `autocommit`, unless they are too."""
    if "isolation_level" not in explicit:
        return
    level = values["isolation_level"]
    if "autocommit" not in explicit:
        values["autocommit"] = level is None
    if level and "begin" not in explicit:
        values["begin"] = level.lower()
