"""The quickstart: three members, a real schema and data set, and a leader that dies.

Run it by `make demo` or `python -m dqlite_node demo [--keep]`. Read `show.py` first: it is the
whole story; the other modules are one chapter each.
"""

from __future__ import annotations

from .show import main

__all__ = ["main"]
