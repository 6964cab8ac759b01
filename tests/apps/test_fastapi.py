"""SQLModel and FastAPI: what a client of the application sees."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from tests.support.components import need


@pytest.fixture
def client(url):
    need("httpx2", "'httpx2>=2.14'")
    need("sqlmodel", "'sqlmodel>=0.0.48'")
    testing = need("fastapi", "'fastapi>=0.162'") and importlib.import_module("fastapi.testclient")
    heroes = importlib.import_module("tests.apps.programs.heroes")
    with testing.TestClient(heroes.create_app(url)) as client:
        yield client


def add(client, *heroes):
    answer = client.post("/heroes", json=list(heroes))
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_what_is_posted_is_read(client):
    team = client.post("/teams", json={"name": "Avengers"}).json()
    hulk, thor = add(
        client,
        {"name": "Hulk", "power": "99.95", "tags": ["green", "ü"], "team_id": team},
        {"name": "Thor", "active": False, "team_id": team},
    )
    assert client.get(f"/heroes/{hulk['id']}").json() == hulk
    assert (hulk["power"], hulk["active"], hulk["tags"]) == ("99.95", None, ["green", "ü"])
    assert (thor["power"], thor["active"]) == ("1.00", False)
    born = datetime.fromisoformat(hulk["born"].replace("Z", "+00:00")).replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - born) < timedelta(minutes=5)
    assert [hero["name"] for hero in client.get("/heroes?limit=1&offset=1").json()] == ["Thor"]
    assert client.get("/heroes/999").status_code == 404


def test_changes_are_kept(client):
    team = client.post("/teams", json={"name": "Avengers"}).json()
    (hulk,) = add(client, {"name": "Hulk", "active": False, "team_id": team})
    assert client.get(f"/teams/{team}").json() == {"active": 0, "total": 1}
    path = f"/heroes/{hulk['id']}"
    changed = client.patch(path, json={"active": True, "tags": ["calm"]}).json()
    assert client.get(path).json() == changed == {**hulk, "active": True, "tags": ["calm"]}
    assert client.get(f"/teams/{team}").json() == {"active": 1, "total": 1}
    assert client.delete(f"/teams/{team}").status_code == 204
    assert client.get("/heroes").json() == []


def test_a_constraint_fails_the_whole_request(client):
    add(client, {"name": "Hulk"})
    answer = client.post("/heroes", json=[{"name": "Thor"}, {"name": "Hulk"}])
    assert answer.status_code == 409
    assert "hero.name" in answer.json()["detail"]
    assert [hero["name"] for hero in client.get("/heroes").json()] == ["Hulk"]


def test_requests_at_the_same_time(client):
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda n: add(client, {"name": f"hero {n:02}"}), range(40)))
        pages = list(
            clients.map(lambda n: client.get(f"/heroes?offset={n}").json(), range(0, 40, 10))
        )
    assert [hero["name"] for page in pages for hero in page] == [f"hero {n:02}" for n in range(40)]
