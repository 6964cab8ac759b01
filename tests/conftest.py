"""The clusters that tests run against, kept for the session: members of the engines asked for."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest

from dqlite_node import LocalCluster
from tests.support import engines
from tests.support.certificates import Certificates
from tests.support.engines import Engine


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--engine NAME`, repeatable: the engines that the session's clusters run on."""
    parser.addoption(
        "--engine",
        action="append",
        default=[],
        metavar="NAME",
        help="engine of the members: system (default), one that `make engines` unpacked, all of"
        " them in turn, or several at once, as in system+sid",
    )


def _chosen(config: pytest.Config) -> list[str]:
    names: list[str] = config.getoption("engine") or [engines.SYSTEM]
    return list(engines.at_hand()) if "all" in names else list(dict.fromkeys(names))


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an engine that is not at hand before any test runs."""
    try:
        for name in _chosen(config):
            engines.named(name)
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str:
    """Name the engines on top of the report."""
    return f"engines: {', '.join(_chosen(config))}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses members once for each engine that was asked for."""
    if metafunc.config.getoption("engine") and "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", _chosen(metafunc.config), indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """The libdqlite that the members run on."""
    return engines.named(getattr(request, "param", _chosen(request.config)[0]))


@pytest.fixture(scope="session")
def cluster(engine: Engine) -> Iterator[LocalCluster]:
    """Three voters; a test that hurts members makes a `LocalCluster` of its own instead."""
    with LocalCluster(3, launcher=engine.launcher) as members:
        yield members


@pytest.fixture(scope="session")
def single(engine: Engine) -> Iterator[LocalCluster]:
    """One member that is a cluster of its own."""
    with LocalCluster(1, launcher=engine.launcher) as member:
        yield member


@pytest.fixture(scope="session")
def dqlite_session_cluster(cluster: LocalCluster) -> LocalCluster:
    """What the plugin's `dqlite_cluster`, which heals its members, works with."""
    return cluster


@pytest.fixture(scope="session")
def dqlite_session_node(single: LocalCluster) -> LocalCluster:
    """What the plugin's `dqlite_node` works with."""
    return single


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority with pairs for members and clients, and some that must be refused."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def heard_loggers() -> None:
    """Undo others' set-up of logging: Alembic's disables loggers, Celery's mutes the root."""
    logging.root.setLevel(logging.WARNING)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("dqlite"):
            logging.getLogger(name).disabled = False


@pytest.fixture
def database() -> str:
    """A database name that no other test uses, nor a prefix of one (libdqlite 1.11 mixes those)."""
    return f"test_{uuid.uuid4().hex}"
