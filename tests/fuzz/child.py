"""One fuzzer's process: `python -m tests.fuzz.child TARGET CORPUS ... -libFuzzer-options`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["dqlite_dbapi", "dqlite_node.frames"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until a finding or the end of the time."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
