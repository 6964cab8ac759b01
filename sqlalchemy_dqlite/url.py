"""How a SQLAlchemy URL becomes the driver's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import ArgumentError

import dqlite_dbapi

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def connect_arguments(url: URL) -> dict[str, Any]:
    """Keyword arguments for the driver's `connect`, with checked and typed options.

    `dqlite://h1:p/db?host=h2:p`, `dqlite:///db` and `dqlite://[h1:p,h2:p]/db`; every query item but
    `host` is an option of the driver. `ArgumentError` for an unknown option (naming the nearest
    one), a bad value or address, and for a user or password, which dqlite does not have.
    """
    if url.username or url.password:
        raise ArgumentError("dqlite has no users or passwords; leave them out of the URL")
    given: dict[str, Any] = dict(url.query)
    addresses = _host_part(url)
    for item in _all(given.pop("host", ())):
        addresses.extend(part for part in item.split(",") if part)
    for name, value in given.items():
        if not isinstance(value, str):
            raise ArgumentError(f"option {name} is given {len(value)} times in the URL")
    database = url.database or given.pop("database", None)
    try:
        parsed = dqlite_dbapi.parse_options(addresses or None, database, **given)
    except dqlite_dbapi.Error as error:
        raise ArgumentError(f"in the URL: {error}") from error
    options = {name: getattr(parsed, name) for name in given}
    if addresses:
        options["target"] = addresses
    if database:
        options["database"] = database
    return options


def _host_part(url: URL) -> list[str]:
    """Addresses in the URL's host part: one host, an IPv6 literal or a bracketed list."""
    port = f":{url.port}" if url.port else ""
    addresses = []
    for host in (url.host or "").split(","):
        if host.startswith("[") or host.startswith("@"):
            addresses.append(host)
        elif host.count(":") > 1:
            addresses.append(f"[{host}]{port}")
        elif host:
            addresses.append(host if ":" in host else host + port)
    return addresses


def _all(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
