"""Uses an installed wheel where no library of dqlite is: see wheel.sh.

Three members, rows written, the leader killed, the rows read and more written.
"""

import platform
import subprocess
import sys
from contextlib import closing
from importlib.metadata import distribution
from pathlib import Path

import dqlite_dbapi
import dqlite_node

BUNDLED = {"libdqlite", "libuv", "libsqlite3", "liblz4", "libxxhash"}
SITE = Path(dqlite_node.__file__).parent.parent


def libraries(pid: int) -> set[str]:
    """Names of the bundled libraries that a process has loaded, all from the wheel."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    loaded = {Path(line.split(maxsplit=5)[5]) for line in lines if ".so" in line}
    ours = {path for path in loaded if path.name.split("-")[0].split(".")[0] in BUNDLED}
    assert all(SITE in path.parents for path in ours), ours
    return {path.name.split("-")[0] for path in ours}


def check_contents() -> None:
    """Every library has its licence beside it."""
    files = [str(path) for path in distribution("dqlite-python").files or ()]
    licences = {Path(path).name for path in files if "/licenses/" in path}
    there = {Path(path).name.split("-")[0] for path in files if ".libs/" in path}
    assert there == BUNDLED, there
    for name in BUNDLED:
        assert any(each.startswith(f"LICENSE.{name}") for each in licences), (name, licences)
    assert {"LICENSE", "LICENSE.LGPL-3", "LICENSE.GPL-3"} <= licences, licences
    assert dqlite_dbapi.accelerator == "c", dqlite_dbapi.accelerator


def insert(cluster: dqlite_node.LocalCluster, values: range) -> None:
    """Write rows, each once."""

    def work(connection: dqlite_dbapi.Connection) -> None:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY)")
        cursor.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])

    with closing(dqlite_dbapi.connect(cluster.addresses, "wheel")) as connection:
        dqlite_dbapi.run_transaction(connection, work)


def main() -> None:
    """Print what was used; any failure ends the program with a traceback."""
    check_contents()
    with dqlite_node.LocalCluster(3) as cluster:
        for member in cluster.members:
            assert member.pid is not None
            assert libraries(member.pid) == BUNDLED, libraries(member.pid)
        insert(cluster, range(100))
        cluster.kill(cluster.leader_index())
        insert(cluster, range(100, 200))
        with closing(dqlite_dbapi.connect(cluster.addresses, "wheel")) as connection:
            rows = connection.execute("SELECT a FROM t ORDER BY a").fetchall()
        assert rows == [(value,) for value in range(200)], rows
    version = dqlite_node.engine_version()
    features = subprocess.check_output([sys.executable, "-m", "dqlite_node", "features"], text=True)
    assert version in features, features
    print(
        f"Python {platform.python_version()}, libdqlite {version} from the wheel:"
        " 3 members, leader killed, 200 rows there"
    )


if __name__ == "__main__":
    main()
