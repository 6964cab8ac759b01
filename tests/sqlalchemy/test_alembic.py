"""Alembic with its own stock env.py: nothing in it knows dqlite."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import autogenerate, command
from alembic.ddl.sqlite import SQLiteImpl
from alembic.migration import MigrationContext
from alembic.operations import Operations

from tests.support.migrations import Migrations

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


@pytest.fixture(params=["dqlite", "sqlite+dqlite"])
def scheme(request):
    return request.param


@pytest.fixture
def migrations(tmp_path, cluster, url_for, scheme):
    return Migrations(tmp_path, url_for(cluster.addresses, scheme))


def columns(db, table):
    return [column["name"] for column in sa.inspect(db).get_columns(table)]


def test_up_and_down(migrations, db):
    migrations.add(TABLES, NO_TABLES)
    migrations.add(BATCH, NO_BATCH)
    command.upgrade(migrations.config, "head")
    assert columns(db, "parents") == ["id", "title", "born"]
    assert [check["name"] for check in sa.inspect(db).get_check_constraints("parents")] == [
        "ck_title"
    ]
    with db.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM parents").all()
        children = connection.exec_driver_sql("SELECT count(*) FROM children").scalar()
    assert [tuple(row) for row in rows] == [(1, "Ann", None)]
    assert children == 2
    command.downgrade(migrations.config, "-1")
    assert columns(db, "parents") == ["id", "name"]
    command.downgrade(migrations.config, "base")
    assert sa.inspect(db).get_table_names() == ["alembic_version"]


def test_a_failed_migration_leaves_nothing(migrations, db):
    migrations.add(TABLES)
    migrations.add(BATCH + '\n    op.execute("INSERT INTO nothing VALUES (1)")\n')
    with pytest.raises(sa.exc.DBAPIError):
        command.upgrade(migrations.config, "head")
    assert sa.inspect(db).get_table_names() == []


def test_a_failed_migration_keeps_the_one_before(migrations, db):
    migrations.add(TABLES)
    command.upgrade(migrations.config, "head")
    migrations.add(BATCH + '\n    raise RuntimeError("no")\n')
    with pytest.raises(RuntimeError):
        command.upgrade(migrations.config, "head")
    assert columns(db, "parents") == ["id", "name"]
    with db.connect() as connection:
        assert MigrationContext.configure(connection).get_current_heads() == ("1",)


def test_ensure_version(migrations, db):
    command.ensure_version(migrations.config)
    assert sa.inspect(db).get_table_names() == ["alembic_version"]


OFFLINE_BATCH = """
    parents = sa.Table(
        "parents",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(20), nullable=False),
    )
    with op.batch_alter_table("parents", copy_from=parents) as batch:
        batch.alter_column("name", type_=sa.String(40))
"""


def test_an_offline_script(migrations, make_engine):
    migrations.add(TABLES)
    migrations.add(OFFLINE_BATCH)
    command.upgrade(migrations.config, "head", sql=True)
    db = make_engine("&foreign_keys=true")
    with db.connect() as connection:
        connection.connection.driver_connection.executescript(migrations.output.getvalue())
        assert MigrationContext.configure(connection).get_current_heads() == ("2",)
        assert connection.exec_driver_sql("SELECT count(*) FROM children").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_the_asyncio_template(tmp_path, cluster, url_for, db):
    url = url_for(cluster.addresses, "dqlite+aio")
    migrations = Migrations(tmp_path, url, "async")
    migrations.add(TABLES, NO_TABLES)
    migrations.add(BATCH, NO_BATCH)
    command.upgrade(migrations.config, "head")
    assert columns(db, "parents") == ["id", "title", "born"]
    command.downgrade(migrations.config, "base")
    assert sa.inspect(db).get_table_names() == ["alembic_version"]


def test_sqlite_itself_keeps_its_own_ways(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'file.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert type(context.impl) is SQLiteImpl
        assert context.impl.transactional_ddl is False
    engine.dispose()


WITHOUT_PLUGINS = """
import importlib.metadata
import sys

entry_points = importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **kw: (
    () if kw.get("group") == "alembic.plugins" else entry_points(**kw)
)
import sqlalchemy

engine = sqlalchemy.create_engine("dqlite:///early")
assert not any(name.startswith("alembic") for name in sys.modules)
from alembic.migration import MigrationContext

for url in ("dqlite:///late", "sqlite+dqlite:///late"):
    sqlalchemy.create_engine(url)
    assert MigrationContext.configure(url=url).impl.transactional_ddl
"""


def test_an_alembic_without_plugins():
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_PLUGINS], check=True)


def test_both_names_are_atomic(db):
    with db.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.impl.transactional_ddl is True


def test_plain_operations(db):
    with db.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.create_table("old", sa.Column("id", sa.Integer, primary_key=True))
        op.rename_table("old", "new")
        op.add_column("new", sa.Column("a", sa.Boolean, server_default=sa.false()))
        op.alter_column("new", "a", new_column_name="b")
        op.create_index("ix_b", "new", ["b"])
    assert columns(db, "new") == ["id", "b"]
    with db.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.drop_index("ix_b", "new")
        op.drop_table("new")
    assert sa.inspect(db).get_table_names() == []


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


def differences(db, metadata):
    with db.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return autogenerate.compare_metadata(context, metadata)


def test_autogenerate_settles(db, metadata):
    metadata.create_all(db)
    assert differences(db, metadata) == []


def test_autogenerate_sees_a_changed_type(db, metadata):
    metadata.create_all(db)
    other = sa.MetaData()
    metadata.tables["all_types"].to_metadata(other).c.c0.type = sa.DateTime()
    metadata.tables["child"].to_metadata(other)
    ((change,),) = differences(db, other)
    assert change[0] == "modify_type"


def test_autogenerate_settles_on_columns_declared_by_others(db):
    with db.begin() as connection:
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
    assert differences(db, metadata) == []
