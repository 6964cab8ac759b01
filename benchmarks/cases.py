"""What is measured: one table of cases, each with those who take turns in it."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.worlds import World

FREE, PINNED = World(), World(pinned=True)
DISK, THREE, THREE_DISK = World(disk=True), World(3), World(3, disk=True)
NEWEST = World(engine="sid")
ENGINE_DIALER = World(3, dialer="engine")

SYNC = ("C", "raw Python", "go-dqlite", "dqlite-dbapi", "driver")
ASYNC = ("raw asyncio", "dqlite-dbapi asyncio", "driver asyncio")
LOCAL = "sqlite3, in memory"
LOCAL_ORM = "pysqlite SQLAlchemy, in memory"
ALCHEMY = (LOCAL_ORM, "dqlite-dbapi SQLAlchemy", "driver SQLAlchemy")
MEBI = 1024 * 1024


class Turn(NamedTuple):
    """Who does what under which label; the first turn of a case is what ratios refer to."""

    contestant: str
    operation: str
    world: World
    label: str


class Case(NamedTuple):
    """One table of figures. `n`, `m`: see the operations in `contestants`; `unit`: of the table."""

    key: str
    title: str
    unit: str
    turns: tuple[Turn, ...]
    n: int
    m: int = 0
    rows: int = 0  #: that the database holds to be read
    blob: int = 0  #: bytes that it holds to be read
    share: float = 1.0  #: of the rounds that were asked for
    fresh: bool = False  #: a new process for each round
    shrinks: bool = True  #: with --quick `n` is divided by ten


def turns(world: World, operation: str, *contestants: str) -> tuple[Turn, ...]:
    """The same operation by each contestant, under its own name."""
    return tuple(Turn(name, operation, world, name) for name in contestants)


def _both(
    key: str, title: str, unit: str, operation: str, names: tuple[str, ...], n: int, rows: int = 0
) -> list[Case]:
    """The case with processors free, and with all on one."""
    return [
        Case(
            f"{key}-pinned",
            f"{title}, one CPU",
            unit,
            turns(PINNED, operation, *names),
            n,
            rows=rows,
        ),
        Case(key, title, unit, turns(FREE, operation, *names), n, rows=rows),
    ]


def _many(key: str, title: str, world: World) -> Case:
    floor = [
        Turn("C", f"many_{kind}", world, f"C, {label}")
        for kind, label in (
            ("multirow_prepared", "60 rows, prepared, pipelined"),
            ("multirow", "60 rows, as text"),
            ("pipelined", "row by row, pipelined"),
            ("single", "row by row"),
        )
    ]
    names = ("go-dqlite", "dqlite-dbapi", LOCAL, "driver", "driver asyncio")
    others = turns(world, "many", *names)
    return Case(key, title, "rows/s", (*floor, *others), n=10_000)


def _clients(count: int) -> list[Case]:
    names = ("C", "go-dqlite", "dqlite-dbapi", "dqlite-dbapi asyncio", "driver", "driver asyncio")
    return [
        Case(f"clients-{count}{suffix}", f"SELECT 1, {count} connections{where}", "calls/s",
             turns(world, "clients", *names), n=max(25, 1600 // count), m=count, share=0.5)
        for suffix, where, world in (("-pinned", ", one CPU", PINNED), ("", "", FREE))
    ]  # fmt: skip


def _inserts() -> list[Case]:
    worlds = (("1-tmpfs", FREE), ("1-disk", DISK), ("3-tmpfs", THREE), ("3-disk", THREE_DISK))
    names = (*SYNC, "driver asyncio")
    return [
        Case(f"insert-{key}", f"autocommit INSERT, {key[0]} member(s), {key[2:]}", "us",
             turns(world, "insert", *names), n=100)
        for key, world in worlds
    ]  # fmt: skip


def _callback() -> Case:
    pair = ((THREE, "our connect callback"), (ENGINE_DIALER, "libdqlite's own TCP"))
    title = "INSERT, 3 members, 8 clients"
    loads = tuple(Turn("driver", "inserts", world, label) for world, label in pair)
    return Case("callback", title, "ms", loads, n=50, m=8, share=0.6)


def _fetches() -> list[Case]:
    names = ("C", LOCAL, "raw Python", "go-dqlite", "dqlite-dbapi", "driver", "driver asyncio")
    title = "fetch all of 100,000 x 4"
    sizes = [
        Case(f"size-{n}", f"fetch all of {n:,} x 4", "rows/s",
             turns(FREE, "fetch", "C", LOCAL, "go-dqlite", "dqlite-dbapi", "driver"),
             n=n, m=1000 // n or 1, rows=n, shrinks=False)
        for n in (10, 100, 1000, 10_000)
    ]  # fmt: skip
    keepers = (LOCAL, "dqlite-dbapi", "driver", "driver asyncio")
    memory = Case("memory", "peak memory of that list, in sizes of itself", "x",
                  turns(FREE, "memory", *keepers), n=100_000, rows=100_000, share=0.3,
                  fresh=True, shrinks=False)  # fmt: skip
    return [
        *_both("fetch", title, "rows/s", "fetch", names, n=100_000, rows=100_000),
        memory,
        *sizes,
    ]


def _streams() -> list[Case]:
    names = (LOCAL, "driver")
    return [
        Case(f"stream-{n}", f"walk over {n:,} x 2, keep none", "rows/s",
             turns(FREE, "stream", *names), n=n, share=0.3 if n <= 10**5 else 0.1, fresh=True)
        for n in (10**3, 10**5, 10**6, 10**7)
    ]  # fmt: skip


def _blobs() -> list[Case]:
    found = []
    for size, shares in ((10, {"read": 2.0, "write": 1.0}), (100, {"read": 1.0, "write": 0.5})):
        for operation, share in shares.items():
            names = SYNC if size == 10 else ("C", "raw Python", "driver")
            found.append(
                Case(f"blob-{operation}-{size}", f"{operation} a blob of {size} MiB", "ms",
                     turns(FREE, f"blob_{operation}", *names), n=size * MEBI,
                     blob=size * MEBI if operation == "read" else 0, share=share, shrinks=False)
            )  # fmt: skip
    return found


def _alchemy() -> list[Case]:
    # Python's collector looks at the whole program in a third of the rounds; few would toss a coin.
    select = Case("core-select", "SQLAlchemy Core, select 20,000 x 4", "rows/s",
                  (*turns(FREE, "fetch", "driver"), *turns(FREE, "core_select", *ALCHEMY)),
                  n=20_000, rows=20_000, share=4.0)  # fmt: skip
    return [
        Case("core-insert", "SQLAlchemy Core, insert 10,000", "rows/s",
             turns(FREE, "core_insert", *ALCHEMY), n=10_000, share=0.5),
        select,
        Case("orm-load", "ORM, load 20,000 objects", "rows/s",
             turns(FREE, "orm_load", *ALCHEMY), n=20_000, rows=20_000, share=0.7),
        Case("orm-insert", "ORM, add 5,000 objects", "rows/s",
             turns(FREE, "orm_insert", *ALCHEMY), n=5_000, share=0.5),
        Case("orm-insert-newest", "ORM, add 5,000 objects, newest engine", "rows/s",
             turns(NEWEST, "orm_insert", *ALCHEMY), n=5_000, share=0.5),
        Case("reflect", "SQLAlchemy, reflect 1,000 tables", "us",
             turns(FREE, "reflect", *ALCHEMY), n=1_000, share=0.3),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (
    *_both("connect", "connect, SELECT 1, close", "us", "connect", (*SYNC, "driver asyncio"), n=50),
    *_both("select1", "SELECT 1", "us", "select1", (*SYNC, "driver SQLAlchemy", LOCAL), n=500),
    *_both("select1-asyncio", "SELECT 1, asyncio", "us", "select1", ASYNC, n=500),
    *_inserts(),
    _callback(),
    _many("many-pinned", "executemany, 10,000 rows in one transaction, one CPU", PINNED),
    _many("many", "executemany, 10,000 rows in one transaction", FREE),
    *_fetches(),
    *_streams(),
    *_blobs(),
    *_clients(1),
    *_clients(16),
    *_clients(64),
    *_alchemy(),
)


def chosen(patterns: tuple[str, ...]) -> list[Case]:
    """Cases whose key is or begins with one of `patterns`; all if there are none."""
    found = [case for case in CASES if case.key in patterns or case.key.startswith(patterns)]
    return found if patterns else list(CASES)
