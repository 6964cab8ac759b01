"""FastAPI and SQLModel as their own tutorials use them: a session for each request."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from decimal import Decimal
from typing import Annotated, Optional

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from sqlalchemy.exc import IntegrityError
from sqlmodel import JSON, Field, Relationship, Session, SQLModel, col, create_engine, func, select


class Team(SQLModel, table=True):
    """Has heroes."""

    id: Optional[int] = Field(default=None, primary_key=True)  # noqa: UP045 - the tutorial's form
    name: str = Field(unique=True)
    heroes: list["Hero"] = Relationship(back_populates="team", cascade_delete=True)


class HeroIn(SQLModel):
    """What a client sends."""

    name: str = Field(index=True, unique=True)
    power: Decimal = Field(default=Decimal("1.00"), max_digits=8, decimal_places=2)
    active: bool | None = None
    tags: list[str] = Field(default_factory=list, sa_type=JSON)
    team_id: int | None = Field(default=None, foreign_key="team.id")


class Hero(HeroIn, table=True):
    """What is stored."""

    id: int | None = Field(default=None, primary_key=True)
    born: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))
    team: Team | None = Relationship(back_populates="heroes")


class HeroOut(HeroIn):
    """What a client gets."""

    id: int
    born: datetime


class HeroPatch(SQLModel):
    """What a client changes."""

    power: Decimal | None = None
    active: bool | None = None
    tags: list[str] | None = None


def get_session(request: Request) -> Iterator[Session]:
    """Lend a session to one request."""
    with Session(request.app.state.engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
router = APIRouter()


def _commit(session: Session) -> None:
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise HTTPException(409, str(error.orig)) from error


def _find(session: Session, number: int) -> Hero:
    hero = session.get(Hero, number)
    if hero is None:
        raise HTTPException(404)
    return hero


@router.post("/teams", status_code=201)
def add_team(team: Team, session: SessionDep) -> int:
    """Add a team and return its number."""
    session.add(team)
    _commit(session)
    assert team.id is not None
    return team.id


@router.get("/teams/{number}")
def count_team(number: int, session: SessionDep) -> dict[str, int]:
    """How many heroes of a team are active, and how many there are."""
    active = func.count().filter(col(Hero.active).is_(True))
    query = select(active, func.count()).where(Hero.team_id == number)
    done, total = session.exec(query).one()
    return {"active": done, "total": total}


@router.delete("/teams/{number}", status_code=204)
def remove_team(number: int, session: SessionDep) -> None:
    """Remove a team with its heroes."""
    session.delete(session.get_one(Team, number))
    session.commit()


@router.post("/heroes", status_code=201, response_model=list[HeroOut])
def add_heroes(heroes: list[HeroIn], session: SessionDep) -> Sequence[Hero]:
    """Add some heroes, all or none."""
    added = [Hero.model_validate(hero) for hero in heroes]
    session.add_all(added)
    _commit(session)
    return added


@router.get("/heroes", response_model=list[HeroOut])
def list_heroes(session: SessionDep, offset: int = 0, limit: int = 10) -> Sequence[Hero]:
    """Some heroes, by name."""
    return session.exec(select(Hero).order_by(Hero.name).offset(offset).limit(limit)).all()


@router.get("/heroes/{number}", response_model=HeroOut)
def get_hero(number: int, session: SessionDep) -> Hero:
    """One hero."""
    return _find(session, number)


@router.patch("/heroes/{number}", response_model=HeroOut)
def change_hero(number: int, patch: HeroPatch, session: SessionDep) -> Hero:
    """Change what the client sends."""
    hero = _find(session, number)
    hero.sqlmodel_update(patch.model_dump(exclude_unset=True))
    session.commit()
    return hero


def create_app(url: str) -> FastAPI:
    """Make the application; its tables are made when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        SQLModel.metadata.create_all(app.state.engine)
        yield
        app.state.engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.state.engine = create_engine(url)
    app.include_router(router)
    return app
