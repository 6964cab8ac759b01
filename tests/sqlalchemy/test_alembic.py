"""Alembic with its own stock env.py: nothing in it knows dqlite."""

from __future__ import annotations

import io
import textwrap

import pytest
import sqlalchemy as sa
from alembic import autogenerate, command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations

TABLES = """
    op.create_table(
        "parents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(20), nullable=False),
    )
    op.create_table(
        "children",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("active", sa.Boolean),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("parents.id", ondelete="CASCADE")),
    )
    op.execute("INSERT INTO parents VALUES (1, 'Ann')")
    op.execute("INSERT INTO children VALUES (1, 1, 1), (2, NULL, 1)")
"""
NO_TABLES = """
    op.drop_table("children")
    op.drop_table("parents")
"""
BATCH = """
    with op.batch_alter_table("parents") as batch:
        batch.alter_column("name", new_column_name="title", type_=sa.String(40))
        batch.add_column(sa.Column("born", sa.DateTime))
        batch.create_check_constraint("ck_title", "title <> ''")
"""
NO_BATCH = """
    with op.batch_alter_table("parents") as batch:
        batch.drop_constraint("ck_title", type_="check")
        batch.drop_column("born")
        batch.alter_column("title", new_column_name="name", type_=sa.String(20))
"""


class Migrations:
    """A history of revisions in a folder made by `alembic init`."""

    def __init__(self, folder, url):
        self.output = io.StringIO()
        self.config = Config(folder / "alembic.ini", output_buffer=self.output, stdout=self.output)
        self.folder = folder / "migrations"
        command.init(self.config, str(self.folder))
        # With a file to read, the stock env.py silences the loggers of the whole test process.
        self.config.config_file_name = None
        self.config.set_main_option("script_location", str(self.folder))
        self.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        self.count = 0

    def add(self, upgrade, downgrade="pass"):
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


@pytest.fixture
def migrations(tmp_path, url):
    return Migrations(tmp_path, url)


def columns(engine, table):
    return [column["name"] for column in sa.inspect(engine).get_columns(table)]


def test_up_and_down(migrations, engine):
    migrations.add(TABLES, NO_TABLES)
    migrations.add(BATCH, NO_BATCH)
    command.upgrade(migrations.config, "head")
    assert columns(engine, "parents") == ["id", "title", "born"]
    assert [check["name"] for check in sa.inspect(engine).get_check_constraints("parents")] == [
        "ck_title"
    ]
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM parents").all()
        children = connection.exec_driver_sql("SELECT count(*) FROM children").scalar()
    assert [tuple(row) for row in rows] == [(1, "Ann", None)]
    assert children == 2
    command.downgrade(migrations.config, "-1")
    assert columns(engine, "parents") == ["id", "name"]
    command.downgrade(migrations.config, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]


def test_a_failed_migration_leaves_nothing(migrations, engine):
    migrations.add(TABLES)
    migrations.add(BATCH + '\n    op.execute("INSERT INTO nothing VALUES (1)")\n')
    with pytest.raises(sa.exc.DBAPIError):
        command.upgrade(migrations.config, "head")
    assert sa.inspect(engine).get_table_names() == []


def test_a_failed_migration_keeps_the_one_before(migrations, engine):
    migrations.add(TABLES)
    command.upgrade(migrations.config, "head")
    migrations.add(BATCH + '\n    raise RuntimeError("no")\n')
    with pytest.raises(RuntimeError):
        command.upgrade(migrations.config, "head")
    assert columns(engine, "parents") == ["id", "name"]
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_heads() == ("1",)


def test_ensure_version(migrations, engine):
    command.ensure_version(migrations.config)
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]


def test_offline_sql(migrations):
    migrations.add(TABLES)
    command.upgrade(migrations.config, "head", sql=True)
    script = migrations.output.getvalue()
    assert "CREATE TABLE children" in script
    assert "INSERT INTO alembic_version" in script


def test_plain_operations(engine):
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.create_table("old", sa.Column("id", sa.Integer, primary_key=True))
        op.rename_table("old", "new")
        op.add_column("new", sa.Column("a", sa.Boolean, server_default=sa.false()))
        op.alter_column("new", "a", new_column_name="b")
        op.create_index("ix_b", "new", ["b"])
    assert columns(engine, "new") == ["id", "b"]
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.drop_index("ix_b", "new")
        op.drop_table("new")
    assert sa.inspect(engine).get_table_names() == []


@pytest.fixture
def metadata():
    kinds = [
        sa.Boolean, sa.Date, sa.DateTime, sa.TIMESTAMP, sa.Time, sa.Interval, sa.Integer,
        sa.BigInteger, sa.SmallInteger, sa.Float, sa.Double, sa.Numeric(10, 2), sa.String(9),
        sa.Text, sa.LargeBinary, sa.Uuid, sa.JSON, sa.Enum("a", "b", name="kind"),
    ]  # fmt: skip
    metadata = sa.MetaData()
    columns = [sa.Column(f"c{number}", kind) for number, kind in enumerate(kinds)]
    sa.Table("all_types", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    child = sa.Table(
        "child",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent", sa.ForeignKey("all_types.id", name="fk_parent"), index=True),
        sa.Column("flag", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("made", sa.DateTime, server_default=sa.func.current_timestamp()),
        sa.UniqueConstraint("parent", "flag", name="uq_pair"),
    )
    sa.Index("ix_flag", child.c.flag, sqlite_where=child.c.flag)
    return metadata


def differences(engine, metadata):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return autogenerate.compare_metadata(context, metadata)


def test_autogenerate_settles(engine, metadata):
    metadata.create_all(engine)
    assert differences(engine, metadata) == []


def test_autogenerate_sees_a_changed_type(engine, metadata):
    metadata.create_all(engine)
    other = sa.MetaData()
    metadata.tables["all_types"].to_metadata(other).c.c0.type = sa.DateTime()
    metadata.tables["child"].to_metadata(other)
    ((change,),) = differences(engine, other)
    assert change[0] == "modify_type"


def test_autogenerate_settles_on_columns_declared_by_others(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (b BOOLEAN, d DATE, m DATETIME, s TIMESTAMP)")
    metadata = sa.MetaData()
    sa.Table(
        "t",
        metadata,
        sa.Column("b", sa.Boolean),
        sa.Column("d", sa.Date),
        sa.Column("m", sa.DateTime),
        sa.Column("s", sa.TIMESTAMP),
    )
    assert differences(engine, metadata) == []
