"""A history of ten revisions on three members, which lose their leader on the way."""

from __future__ import annotations

import textwrap

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.migration import MigrationContext

from dqlite_node import LocalCluster
from tests.support.migrations import Migrations

#: Bodies of upgrade() and downgrade().
HISTORY = [
    (
        """
        op.create_table(
            "users",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String(20), nullable=False),
        )
        op.create_table(
            "orders",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("owner", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE")),
            sa.Column("amount", sa.Numeric(10, 2)),
        )
        """,
        'op.drop_table("orders"); op.drop_table("users")',
    ),
    (
        """
        users = sa.table("users", sa.column("id", sa.Integer), sa.column("name", sa.String))
        op.bulk_insert(users, [{"id": n, "name": f"user {n}"} for n in range(1, 101)])
        op.execute("INSERT INTO orders SELECT id, id, id * 1.5 FROM users")
        """,
        'op.execute("DELETE FROM orders"); op.execute("DELETE FROM users")',
    ),
    (
        """
        with op.batch_alter_table("users") as batch:
            batch.add_column(sa.Column("active", sa.Boolean, server_default=sa.true()))
            batch.alter_column("name", new_column_name="full_name", type_=sa.String(80))
        """,
        """
        with op.batch_alter_table("users") as batch:
            batch.alter_column("full_name", new_column_name="name", type_=sa.String(20))
            batch.drop_column("active")
        """,
    ),
    (
        'op.create_index("ix_name", "users", ["full_name"], unique=True)',
        'op.drop_index("ix_name", "users")',
    ),
    (
        """
        op.create_table(
            "cities",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String(20), unique=True),
        )
        op.execute("INSERT INTO cities VALUES (1, 'Linz'), (2, 'Graz')")
        with op.batch_alter_table("users") as batch:
            batch.add_column(sa.Column("city", sa.Integer))
            batch.create_foreign_key("fk_city", "cities", ["city"], ["id"], ondelete="SET NULL")
        op.execute("UPDATE users SET city = id % 2 + 1")
        """,
        """
        with op.batch_alter_table("users") as batch:
            batch.drop_constraint("fk_city", type_="foreignkey")
            batch.drop_column("city")
        op.drop_table("cities")
        """,
    ),
    ('op.rename_table("orders", "purchases")', 'op.rename_table("purchases", "orders")'),
    (
        """
        bind = op.get_bind()
        op.add_column("purchases", sa.Column("cents", sa.Integer))
        for id, amount in bind.execute(sa.text("SELECT id, amount FROM purchases")).all():
            bind.execute(
                sa.text("UPDATE purchases SET cents = :cents WHERE id = :id"),
                {"id": id, "cents": round(amount * 100)},
            )
        """,
        'op.drop_column("purchases", "cents")',
    ),
    (
        """
        with op.batch_alter_table("purchases") as batch:
            batch.drop_column("amount")
            batch.create_check_constraint("ck_cents", "cents > 0")
        """,
        """
        with op.batch_alter_table("purchases") as batch:
            batch.drop_constraint("ck_cents", type_="check")
            batch.add_column(sa.Column("amount", sa.Numeric(10, 2)))
        op.execute("UPDATE purchases SET amount = cents / 100.0")
        """,
    ),
    (
        """
        with op.batch_alter_table("cities") as batch:
            batch.alter_column("name", nullable=False)
            batch.add_column(sa.Column("founded", sa.Date))
        """,
        """
        with op.batch_alter_table("cities") as batch:
            batch.drop_column("founded")
            batch.alter_column("name", nullable=True)
        """,
    ),
    (
        """
        with op.batch_alter_table("users") as batch:
            batch.alter_column("active", nullable=False)
            batch.create_unique_constraint("uq_pair", ["full_name", "city"])
        """,
        """
        with op.batch_alter_table("users") as batch:
            batch.drop_constraint("uq_pair", type_="unique")
            batch.alter_column("active", nullable=True)
        """,
    ),
]
KILL = 'op.get_context().config.attributes["kill"]()'


@pytest.fixture(scope="module")
def own_cluster():
    with LocalCluster(3) as cluster:
        yield cluster


@pytest.fixture
def kill_leader(own_cluster):
    """Kill the leader when called, the first time; it is back when the test ends."""
    killed = []

    def kill():
        if not killed:
            leader = own_cluster.wait_leader(20)
            killed.append(list(own_cluster.addresses).index(leader))
            own_cluster.kill(killed[-1])

    yield kill
    for member in killed:
        own_cluster.restart(member)


@pytest.fixture(params=["dqlite", "sqlite+dqlite"])
def scheme(request):
    return request.param


@pytest.fixture(params=["", "&foreign_keys=true"])
def url(request, own_cluster, url_for, scheme):
    return url_for(own_cluster.addresses, scheme) + request.param


@pytest.fixture
def db(create, url):
    return create(url, poolclass=sa.NullPool)


def history(folder, url, kill_in=None):
    """The ten revisions; the leader is killed between the statements of number `kill_in`."""
    migrations = Migrations(folder, url)
    for number, (upgrade, downgrade) in enumerate(HISTORY, 1):
        body = textwrap.dedent(upgrade).strip()
        if number == kill_in:
            first, _, rest = body.partition("\nop.execute(")
            body = f"{first}\n{KILL}\nop.execute({rest}"
        migrations.add(body, downgrade)
    return migrations


def go(run, config, revision):
    """Run a command again after each loss of a leader, as its user would."""
    for _ in range(5):
        try:
            run(config, revision)
            return
        except sa.exc.DBAPIError as error:
            if not (error.orig.is_retryable or error.orig.is_ambiguous):
                raise
    run(config, revision)


def check_top(db):
    with db.connect() as connection:
        run = connection.exec_driver_sql
        assert MigrationContext.configure(connection).get_current_heads() == ("10",)
        users = run("SELECT id, full_name, active, city FROM users ORDER BY id").all()
        assert [tuple(row) for row in users] == [
            (n, f"user {n}", 1, n % 2 + 1) for n in range(1, 101)
        ]
        purchases = run("SELECT id, owner, cents FROM purchases ORDER BY id").all()
        assert [tuple(row) for row in purchases] == [(n, n, n * 150) for n in range(1, 101)]
        assert run("PRAGMA foreign_key_check").all() == []
        assert run("PRAGMA integrity_check").scalar() == "ok"
    found = sa.inspect(db)
    assert set(found.get_table_names()) == {"alembic_version", "users", "purchases", "cities"}
    assert {key["referred_table"] for key in found.get_foreign_keys("purchases")} == {"users"}
    assert {key["options"]["ondelete"] for key in found.get_foreign_keys("users")} == {"SET NULL"}


def check_bottom(db):
    assert sa.inspect(db).get_table_names() == ["alembic_version"]


def test_up_down_and_up(tmp_path, url, db):
    migrations = history(tmp_path, url)
    command.upgrade(migrations.config, "head")
    check_top(db)
    command.downgrade(migrations.config, "base")
    check_bottom(db)
    for number in range(1, 11):
        command.upgrade(migrations.config, str(number))
    check_top(db)


@pytest.mark.parametrize("each", [False, True], ids=["one transaction", "one for each"])
@pytest.mark.parametrize("kill_in", [2, 5])
def test_a_lost_leader(tmp_path, url, db, kill_leader, kill_in, each):
    migrations = history(tmp_path, url, kill_in)
    if each:
        migrations.configure("transaction_per_migration=True")
    migrations.config.attributes["kill"] = kill_leader
    with pytest.raises(sa.exc.DBAPIError) as caught:
        command.upgrade(migrations.config, "head")
    assert caught.value.orig.is_retryable
    with db.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    assert heads == ((str(kill_in - 1),) if each and kill_in > 1 else ())
    go(command.upgrade, migrations.config, "head")
    check_top(db)
    go(command.downgrade, migrations.config, "base")
    check_bottom(db)
