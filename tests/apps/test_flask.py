"""Flask-SQLAlchemy: a session that ends with the request, pages, and a second database."""

from __future__ import annotations

import importlib

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import dqlite_dbapi
from sqlalchemy_dqlite import run_transaction
from tests.support.components import need


@pytest.fixture
def blog():
    need("flask_sqlalchemy", "'Flask-SQLAlchemy>=3.1.1'")
    return importlib.import_module("tests.apps.programs.blog")


@pytest.fixture
def app(blog, make_url, database):
    app = blog.create_app(make_url(database), make_url(f"visits_{database}"))
    yield app
    with app.app_context():
        for engine in blog.db.engines.values():
            engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()


def post(client, *titles, author="Lem"):
    return client.post("/posts", json={"author": author, "titles": titles})


def test_what_is_posted_is_shown(client):
    first, second = post(client, "Eden", "Solaris").json["ids"]
    assert client.get(f"/posts/{second}").json == {
        "title": "Solaris",
        "author": "Lem",
        "public": None,
    }
    assert client.delete(f"/posts/{first}").status_code == 204
    assert client.get(f"/posts/{first}").status_code == 404


def test_pages(client):
    post(client, "Eden", "Solaris", "Fiasco")
    assert client.get("/posts").json == {"titles": ["Fiasco", "Solaris"], "pages": 2, "total": 3}
    assert client.get("/posts?page=2").json["titles"] == ["Eden"]


def test_a_failed_request_leaves_nothing(client):
    post(client, "Eden")
    assert post(client, *"abcde").status_code == 400
    assert client.get("/posts").json["total"] == 1
    assert post(client, "Ubik", author="Dick").status_code == 201


def test_two_databases(client, app, blog, make_url, database):
    post(client, "Eden")
    client.get("/posts/1")
    client.get("/posts")
    with app.app_context():
        visits = blog.db.session.scalars(blog.db.select(blog.Visit.path)).all()
        assert visits == ["/posts", "/posts"]
        with blog.db.engines["visits"].connect() as connection:
            tables = connection.scalars(text("SELECT name FROM sqlite_schema")).all()
        assert tables == ["visit"]
        assert str(blog.db.engine.url) == make_url(database)


def test_queries_are_recorded(client, app, blog):
    recorded = importlib.import_module("flask_sqlalchemy.record_queries")
    post(client, "Eden")
    with app.app_context():
        blog.db.session.scalars(blog.db.select(blog.Post)).all()
        queries = recorded.get_recorded_queries()
        assert [query.statement.partition(" ")[0] for query in queries] == ["SELECT"]


def test_work_that_is_run_again(app, blog):
    attempts = []

    def work(session):
        session.add(blog.Visit(path=f"/{len(attempts)}"))
        session.add(blog.Author(name=f"author {len(attempts)}"))
        session.flush()
        attempts.append(session)
        if len(attempts) == 1:
            lost = dqlite_dbapi.ConnectionLost("as if the leader had died")
            raise DBAPIError("COMMIT", None, lost)

    with app.app_context():
        run_transaction(blog.db.session, work)
        assert attempts[0] is not attempts[1]
        assert blog.db.session.scalars(blog.db.select(blog.Author.name)).all() == ["author 1"]
        assert blog.db.session.scalars(blog.db.select(blog.Visit.path)).all() == ["/1"]
