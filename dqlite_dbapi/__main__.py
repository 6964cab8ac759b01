"""`python -m dqlite_dbapi`, installed as `dqlite-py`; see `dqlite_dbapi.cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without the packages of the extra `[cli]` it says what to install."""
    try:
        from dqlite_dbapi.cli.main import cli
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "dqlite_dbapi":
            raise
        sys.exit(f"dqlite-py: {error.name} is missing: pip install 'dqlite-python[cli]'")
    cli(prog_name="dqlite-py")


if __name__ == "__main__":
    main()
