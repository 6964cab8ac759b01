"""SQLAlchemy's and Alembic's own test suites on a live member, beside SQLite (`make suites`).

The suites come from the source distributions of the installed versions, which pip downloads into
build/suites. Each part runs on a member and, the first time, on a SQLite file. What passes there
must pass here, except for what docs/reference/suites.md lists with its reason.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from dqlite_node import LocalCluster  # noqa: E402
from tests.suites.listed import matcher, plain, rows  # noqa: E402
from tests.support import engines  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "suites.md"
BUILD = ROOT / "build" / "suites"
SYNC, ASYNC = "sqlite:///", "sqlite+aiosqlite:///"
OPTIONS = [
    "-q", "-rX", "--tb=short", "--maxfail=1000", "-o", "addopts=", "-p", "no:randomly",
    "-p", "no:timeout", "-p", "no:cacheprovider",
]  # fmt: skip


class Part(NamedTuple):
    """Tests of one source tree, by which names of dqlite, and compared with what."""

    package: str
    paths: tuple[str, ...]
    schemes: tuple[str, ...] = ("sqlite+dqlite",)
    beside: str = SYNC
    options: tuple[str, ...] = ()


PARTS = {
    "suite": Part("sqlalchemy", ("test/dialect/test_suite.py",), ("dqlite", "sqlite+dqlite")),
    "suite-aio": Part(
        "sqlalchemy", ("test/dialect/test_suite.py",), ("dqlite+aio", "sqlite+aiodqlite"), ASYNC
    ),
    "sqlite": Part("sqlalchemy", ("test/dialect/sqlite", "test/dialect/test_sqlite.py")),
    "engine": Part("sqlalchemy", ("test/engine",), options=("--backend-only",)),
    "sql": Part("sqlalchemy", ("test/sql",), options=("--backend-only",)),
    "orm": Part("sqlalchemy", ("test/orm",), options=("--backend-only",)),
    "alembic": Part("alembic", ("tests",)),
}


class Outcome(NamedTuple):
    """Of one test: passed, failed, skipped or listed; and why."""

    kind: str
    reason: str


def tree(package: str) -> Path:
    """The source tree of the installed version of `package`, downloaded once."""
    folder = BUILD / f"{package}-{version(package)}"
    if not folder.exists():
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package,
            "--dest", str(BUILD), f"{package}=={version(package)}",
        ]  # fmt: skip
        environment = {**os.environ, "DISABLE_SQLALCHEMY_CEXT": "1"}
        subprocess.run(command, check=True, env=environment)
        (archive,) = (
            path for path in BUILD.glob("*.tar.gz") if path.name.lower().startswith(folder.name)
        )
        with tarfile.open(archive) as packed:
            packed.extractall(BUILD, filter="data")
        archive.unlink()
        found = BUILD / archive.name.removesuffix(".tar.gz")
        if found != folder:
            found.rename(folder)
        if package == "sqlalchemy":
            use_requirements(folder / "setup.cfg")
    return folder


def use_requirements(config: Path) -> None:
    """Have the tree's tests ask our requirements, which build on the tree's own."""
    ours = "requirement_cls = sqlalchemy_dqlite.requirements:Requirements"
    config.write_text(re.sub("(?m)^requirement_cls = .*$", ours, config.read_text("utf-8")))


def outcomes(report: Path) -> Iterator[tuple[str, Outcome]]:
    """Each test of a report in JUnit's format."""
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        name = plain(f"{case.get('classname')}::{case.get('name')}")
        kind, reason = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                kind, reason = "failed", (child.get("message") or "").partition("\n")[0]
            elif child.tag == "skipped":
                kind = "listed" if child.get("type") == "pytest.xfail" else "skipped"
                reason = child.get("message") or ""
        yield name, Outcome(kind, reason)


def run(part: Part, name: str, url: str) -> dict[str, Outcome]:
    """Run a part on `url`; its log and report stay in build/suites."""
    folder = tree(part.package)
    report = BUILD / f"{name}.xml"
    report.unlink(missing_ok=True)
    paths = [path for path in part.paths if (folder / path).exists()]
    command = [
        sys.executable, "-s", "-m", "pytest", *OPTIONS, "-p", "listed", f"--junitxml={report}",
        "--dburi", url, *part.options, *paths,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent)])}
    if "dqlite" in url:
        environment["SUITES_PAGE"] = str(PAGE)
    with open(BUILD / f"{name}.log", "wb") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    return dict(outcomes(report))


def on_sqlite(part: Part, label: str) -> dict[str, Outcome]:
    """Run a part on a SQLite file; the report is kept for the next time.

    In memory with SQLAlchemy 2.0, whose tests remove a file that is still in use.
    """
    name = f"{label}-sqlite"
    if (BUILD / f"{name}.xml").exists():
        return dict(outcomes(BUILD / f"{name}.xml"))
    files = BUILD / f"files-{name}-{os.getpid()}"
    files.mkdir()
    is_old = version("sqlalchemy").startswith("2.0.")
    found = run(part, name, part.beside + (":memory:" if is_old else f"{files}/main.db"))
    shutil.rmtree(files)
    return found


def compare(name: str, theirs: dict[str, Outcome], ours: dict[str, Outcome]) -> int:
    """Print how `ours` differs from `theirs`; returns the number of unexplained differences."""
    absent = Outcome("skipped", "not run")
    found: dict[str, Outcome] = {}
    for test in sorted({*theirs, *ours}):
        expected, outcome = theirs.get(test, absent).kind, ours.get(test, absent)
        is_worse = outcome.kind == "failed" and expected != "failed"
        if is_worse or (outcome.kind == "skipped" and expected == "passed"):
            found[test] = outcome
    listed = [matcher(pattern) for pattern, _ in rows(PAGE)]
    skipped = [test for test in found if any(one.fullmatch(own_name(test)) for one in listed)]
    counts = Counter(outcome.kind for outcome in ours.values())
    passed = sum(outcome.kind == "passed" for outcome in theirs.values())
    print(
        f"{name}: {counts['passed']} passed, {counts['failed']} failed,"
        f" {counts['listed'] + len(skipped)} listed; {passed} passed on SQLite",
        flush=True,
    )
    unexplained = [test for test in found if test not in skipped]
    for test in unexplained:
        print(f"    {test}: {found[test].reason}", flush=True)
    return len(unexplained)


def own_name(test: str) -> str:
    """Class and test, without the module."""
    place, _, rest = test.partition("::")
    return f"{place.rpartition('.')[2]}::{rest}"


def main() -> int:
    """Run the parts that are named, or all; returns 0 if every difference is listed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--engine", default=engines.SYSTEM, help="of the member (make engines)")
    arguments = parser.parse_args()
    chosen = arguments.parts or list(PARTS)
    BUILD.mkdir(parents=True, exist_ok=True)
    unexplained = 0
    with LocalCluster(1, launcher=engines.named(arguments.engine).launcher) as member:
        for number, name in enumerate(chosen):
            part = PARTS[name]
            label = f"{name}-{version(part.package)}"
            theirs = on_sqlite(part, label)
            for scheme in part.schemes:
                database = f"{scheme.replace('+', '_')}_{number}_suite"
                log = f"{label}-{scheme}-{arguments.engine}"
                ours = run(part, log, f"{scheme}://{member.addresses[0]}/{database}")
                unexplained += compare(f"{label} by {scheme}", theirs, ours)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
