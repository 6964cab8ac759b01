"""Alembic histories for tests: in a folder with the stock env.py, or as plain functions."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.migration import RevisionStep
from alembic.script import Script
from alembic.script.revision import RevisionMap


class Migrations:
    """A history of revisions in a folder made by `alembic init`."""

    def __init__(self, folder: Path, url: str, template: str = "generic") -> None:
        self.output = io.StringIO()
        self.config = Config(folder / "alembic.ini", output_buffer=self.output, stdout=self.output)
        self.folder = folder / "migrations"
        command.init(self.config, str(self.folder), template)
        # With a file to read, the stock env.py silences the loggers of the whole test process.
        self.config.config_file_name = None
        self.config.set_main_option("script_location", str(self.folder))
        self.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        self.count = 0

    def add(self, upgrade: str, downgrade: str = "pass") -> None:
        """Add a revision: the bodies of its two functions."""
        previous = str(self.count) if self.count else None
        self.count += 1
        head = f"""
        import sqlalchemy as sa
        from alembic import op

        revision, down_revision = {str(self.count)!r}, {previous!r}
        """
        body = textwrap.dedent(head)
        for name, code in (("upgrade", upgrade), ("downgrade", downgrade)):
            body += f"def {name}():\n" + textwrap.indent(textwrap.dedent(code), "    ") + "\n"
        (self.folder / "versions" / f"{self.count}.py").write_text(body)

    def use(self, metadata: sa.MetaData) -> None:
        """Make `metadata` the models that env.py names."""
        self._replace("target_metadata = None", 'target_metadata = config.attributes["models"]')
        self.config.attributes["models"] = metadata

    def configure(self, arguments: str) -> None:
        """Add keyword arguments to env.py's `context.configure(connection=...)`."""
        self._replace("connection=connection,", f"connection=connection, {arguments},")

    def _replace(self, old: str, new: str) -> None:
        env = self.folder / "env.py"
        text = env.read_text()
        if old in text:
            env.write_text(text.replace(old, new))
        else:
            assert new in text


def run_revisions(
    connection: sa.Connection, functions: Sequence[Callable[[Operations], Any]], **options: Any
) -> None:
    """Run `functions` as an upgrade through revisions 1, 2, ..., as env.py would."""
    scripts: list[Any] = []

    def revisions(heads: tuple[str, ...], context: MigrationContext) -> list[RevisionStep]:
        op = Operations(context)
        for number, function in enumerate(functions, 1):
            module = SimpleNamespace(
                revision=str(number),
                down_revision=str(number - 1) if number > 1 else None,
                upgrade=lambda function=function, **kw: function(op),
            )
            scripts.append(Script(module, str(number), f"{number}.py"))  # type: ignore[arg-type]
        known = RevisionMap(lambda: scripts)
        assert known.heads
        done = max((int(head) for head in heads), default=0)
        return [RevisionStep.upgrade_from_script(known, each) for each in scripts[done:]]

    opts = {"fn": revisions, "destination_rev": "head", **options}
    context = MigrationContext.configure(connection, opts=opts)
    with context.begin_transaction():
        context.run_migrations()
