"""Progress while it runs and one table at the end, with rich."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table


class Report:
    """Prints each step as it ends and remembers it for the final table."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._steps: list[tuple[str, str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Time a step; the yielded function takes what came out of it, one line per call."""
        results: list[str] = []
        start = time.monotonic()
        with self.console.status(f"{title} ..."):
            yield results.append
        seconds = time.monotonic() - start
        self._steps.append((title, "\n".join(results), seconds))
        self.console.print(f"[green]ok[/] {title} ({seconds:.1f} s)")

    def print_table(self) -> None:
        """Print every step with its result and its time."""
        table = Table(title="dqlite quickstart", show_lines=True)
        table.add_column("step")
        table.add_column("result", overflow="fold")
        table.add_column("seconds", justify="right")
        for title, result, seconds in self._steps:
            table.add_row(title, result, f"{seconds:.1f}")
        total = sum(seconds for _, _, seconds in self._steps)
        table.add_row("all", "passed", f"{total:.1f}", style="bold green")
        self.console.print(table)
