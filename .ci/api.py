"""Usage: python .ci/api.py REF. Compares the public API with that of a git ref: see contribute.md.

Each change that can break a program is a line; exit status 1 if there is one.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import griffe

PACKAGES = {"dqlite_dbapi": ".", "sqlalchemy_dqlite": ".", "dqlite_node": "native"}
#: Parts that others are not meant to import.
INTERNAL = ("dqlite_dbapi.wire.", "dqlite_dbapi.protocol.", "dqlite_dbapi.cli.")


def load(root: Path, package: str) -> griffe.Object | griffe.Alias:
    """Read a package's sources below `root`, without running them."""
    folder = root / PACKAGES[package]
    loader = griffe.GriffeLoader(search_paths=[folder], allow_inspection=False)
    found = loader.load(package, try_relative_path=False)
    loader.resolve_aliases()
    return found


def main(ref: str) -> int:
    """Print what differs; 1 if anything does."""
    command = ["git", "archive", ref, "--", "dqlite_dbapi", "sqlalchemy_dqlite", "native"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        broken = [
            breakage.explain(griffe.ExplanationStyle.MARKDOWN)
            for package in PACKAGES
            for breakage in griffe.find_breaking_changes(
                load(Path(folder), package), load(Path(), package)
            )
            if not breakage.obj.path.startswith(INTERNAL)
        ]
    print("\n".join([*broken, f"{len(broken)} changes of the public API since {ref}"]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
