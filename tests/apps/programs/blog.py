"""A Flask-SQLAlchemy application with two databases, as its quick start and its page on binds."""

from datetime import datetime
from typing import Any

from flask import Flask, abort, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """What Flask-SQLAlchemy makes models of."""


db = SQLAlchemy(model_class=Base)


class Author(db.Model):  # type: ignore[name-defined,misc]
    """Writes posts."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    posts: Mapped[list["Post"]] = relationship(back_populates="author", cascade="all")


class Post(db.Model):  # type: ignore[name-defined,misc]
    """One text."""

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    is_public: Mapped[bool | None]
    written: Mapped[datetime] = mapped_column(server_default=func.now())
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="posts")


class Visit(db.Model):  # type: ignore[name-defined,misc]
    """Counted in another database."""

    __bind_key__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str]


def create_app(url: str, visits: str) -> Flask:
    """Make the application with its tables."""
    app = Flask("blog")
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_BINDS={"visits": visits})
    app.config.update(SQLALCHEMY_RECORD_QUERIES=True)
    db.init_app(app)
    app.before_request(_count)
    app.add_url_rule("/posts", view_func=add_posts, methods=["POST"])
    app.add_url_rule("/posts", view_func=list_posts)
    app.add_url_rule("/posts/<int:number>", view_func=show_post)
    app.add_url_rule("/posts/<int:number>", view_func=remove_post, methods=["DELETE"])
    with app.app_context():
        db.create_all()
    return app


def _count() -> None:
    db.session.add(Visit(path=request.path))


def add_posts() -> tuple[dict[str, Any], int]:
    """Add posts of one author, who may be new."""
    sent = request.get_json()
    author = db.session.scalar(db.select(Author).filter_by(name=sent["author"]))
    author = author or Author(name=sent["author"])
    author.posts.extend(Post(title=title) for title in sent["titles"])
    db.session.add(author)
    db.session.flush()
    if len(author.posts) > 5:
        db.session.rollback()
        abort(400)
    db.session.commit()
    return {"ids": [post.id for post in author.posts]}, 201


def list_posts() -> dict[str, Any]:
    """A page of titles, newest first."""
    page = db.paginate(db.select(Post).order_by(Post.id.desc()), per_page=2, max_per_page=2)
    db.session.commit()
    return {"titles": [post.title for post in page], "pages": page.pages, "total": page.total}


def show_post(number: int) -> dict[str, Any]:
    """One post."""
    post = db.get_or_404(Post, number)
    return {"title": post.title, "author": post.author.name, "public": post.is_public}


def remove_post(number: int) -> tuple[str, int]:
    """Remove one post."""
    db.session.delete(db.get_or_404(Post, number))
    db.session.commit()
    return "", 204
