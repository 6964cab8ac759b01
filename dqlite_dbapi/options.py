"""The one option parser: URL, address list, environment and keywords into a frozen dataclass."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, unquote

from dqlite_dbapi.errors import InterfaceError

DEFAULT_PORT = 9001
DEFAULT_DATABASE = "main"
_MAX_NAME = 255
_MAX_PORT = 65535
_MAX_SECONDS = 1e9


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen for a connection; times are in seconds.

    `addresses` of members, `database` name, `connect_timeout` to find the leader, `timeout` for
    one call with all its retries, `busy_timeout` to wait for another writer, `begin` mode of
    transactions, `autocommit`, `foreign_keys` (None: the server's habit, which is on), `guard`
    against statements that hurt servers.
    """

    addresses: tuple[str, ...]
    database: str = DEFAULT_DATABASE
    connect_timeout: float = 10.0
    timeout: float = 30.0
    busy_timeout: float = 5.0
    begin: str = "deferred"
    autocommit: bool = False
    foreign_keys: bool | None = None
    guard: str = "strict"


def parse(
    target: str | Iterable[str] | None = None, database: str | None = None, **keywords: object
) -> Options:
    """Build `Options` from a target and keywords, which win over the URL's query string.

    `target` is `dqlite://h1:p,h2:p/db?option=value`, `h1:p,h2:p`, a list of addresses, or None for
    `DQLITE_URL`, else `DQLITE_CLUSTER`, else 127.0.0.1:9001. Values may be text, as in a URL.
    `InterfaceError` for an unknown option (naming the nearest one) or a bad value.
    """
    if target is None:
        target = os.environ.get("DQLITE_URL") or ""
    addresses: list[str] = []
    given: dict[str, object] = {}
    if not isinstance(target, str):
        addresses = [str(address) for address in target]
    elif "://" in target:
        addresses, name, given = _parse_url(target)
        database = database or name
    else:
        addresses = _split_hosts(target)
    given.update(keywords)
    if not addresses:
        cluster = os.environ.get("DQLITE_CLUSTER") or f"127.0.0.1:{DEFAULT_PORT}"
        addresses = _split_hosts(cluster)
    values = {name: _convert(name, value) for name, value in given.items()}
    return Options(
        addresses=tuple(dict.fromkeys(parse_address(address) for address in addresses)),
        database=check_database(database or DEFAULT_DATABASE),
        **values,
    )


def _parse_url(url: str) -> tuple[list[str], str, dict[str, object]]:
    scheme, _, rest = url.partition("://")
    if scheme != "dqlite":
        raise InterfaceError(
            f"the URL begins with {scheme!r}, not with 'dqlite'",
            hint="sqlite+dqlite:// and the like are for SQLAlchemy's create_engine",
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
        else:
            given[key] = value
    return addresses, unquote(name), given


def _split_hosts(text: str) -> list[str]:
    if text.startswith("[") and text.endswith("]") and "," in text:
        text = text[1:-1]
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_address(text: str) -> str:
    """Check an address and add the default port: `host:port`, `[IPv6]:port` or `@abstract`.

    `InterfaceError` names what is wrong with it.
    """
    if text.startswith("@"):
        return text
    host, port = split_address(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
    if not (
        valid and host and port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MAX_PORT
    ):
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


def _seconds(value: object) -> float:
    seconds = float(value)  # type: ignore[arg-type]
    if not 0 <= seconds < _MAX_SECONDS:
        raise ValueError
    return seconds


def _boolean(value: object) -> bool:
    return _WORDS[str(value).lower()]


_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _one_of(*choices: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        return choices[choices.index(str(value).lower())]

    return convert


_CONVERTERS: Mapping[str, tuple[Callable[[object], Any], str]] = {
    "connect_timeout": (_seconds, "seconds"),
    "timeout": (_seconds, "seconds"),
    "busy_timeout": (_seconds, "seconds"),
    "begin": (_one_of("deferred", "immediate", "exclusive"), "deferred, immediate or exclusive"),
    "autocommit": (_boolean, "true or false"),
    "foreign_keys": (lambda value: None if value is None else _boolean(value), "true or false"),
    "guard": (_one_of("strict", "off"), "strict or off"),
}


def _convert(name: str, value: object) -> Any:
    if name not in _CONVERTERS:
        known = [field.name for field in fields(Options)]
        near = difflib.get_close_matches(name, known, 1)
        raise InterfaceError(
            f"there is no option {name!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"options are {', '.join(known)}",
        )
    convert, expected = _CONVERTERS[name]
    try:
        return convert(value)
    except (ValueError, TypeError, KeyError):
        raise InterfaceError(f"option {name} is {value!r}; it takes {expected}") from None
