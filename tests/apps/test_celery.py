"""Celery keeps results in the cluster, and messages too where the worker is another process."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from tests.support.components import need

WAIT = {"timeout": 20, "interval": 0.02}


@pytest.fixture(scope="module")
def make_app(make_url):
    """Make applications whose results are in one database."""
    need("celery", "'celery[sqlalchemy]>=5.7'")
    tasks = importlib.import_module("tests.apps.programs.tasks")
    name = f"test_{uuid.uuid4().hex}"
    often = {"polling_interval": 0.01}

    def make(**settings):
        return tasks.make_app(
            "memory://",
            f"db+{make_url(name)}",
            task_default_queue=name,
            broker_transport_options=often,
            **settings,
        )

    return make


@pytest.fixture(scope="module")
def app(make_app):
    """An application with a worker."""
    app = make_app()
    testing = importlib.import_module("celery.contrib.testing.worker")
    with testing.start_worker(app, perform_ping_check=False, shutdown_timeout=20):
        yield app


def delay(app, name, *arguments):
    return app.signature(name, arguments).delay()


def test_results(app, make_app):
    result = delay(app, "add", 2, 3)
    assert result.get(**WAIT) == 5
    asked = make_app().AsyncResult(result.id)
    assert (asked.state, asked.result, asked.name, asked.args) == ("SUCCESS", 5, "add", [2, 3])
    assert abs(datetime.now(timezone.utc) - asked.date_done.replace(tzinfo=timezone.utc)) < (
        timedelta(minutes=5)
    )
    value = {"ü": [1, None, 2.5, "\0"], "long": "x" * 100_000}
    assert delay(app, "describe", value).get(**WAIT) == {"value": value, "kind": "dict"}
    assert make_app().AsyncResult("unknown").state == "PENDING"


def test_errors(app, make_app):
    result = delay(app, "fail", "no such thing")
    with pytest.raises(LookupError, match="no such thing"):
        result.get(**WAIT)
    asked = make_app().AsyncResult(result.id)
    assert asked.state == "FAILURE"
    assert isinstance(asked.result, LookupError)
    assert "in fail" in asked.traceback


def test_groups_and_chords(app, make_app):
    canvas = importlib.import_module("celery").group
    parts = canvas([app.signature("add", (n, n)) for n in range(10)])
    group = parts.apply_async()
    group.save()
    assert sum(group.get(**WAIT)) == 90
    assert len(make_app().GroupResult.restore(group.id)) == 10
    group.delete()
    assert make_app().GroupResult.restore(group.id) is None
    assert (parts | app.signature("total")).delay().get(**WAIT) == 90


def test_a_state_of_ones_own_and_forgetting(app):
    result = delay(app, "hold")
    delay(app, "add", 1, 1).get(**WAIT)
    assert (result.state, result.info) == ("PROGRESS", {"done": 3})
    result.forget()
    assert app.AsyncResult(result.id).state == "PENDING"


def test_old_results_are_removed(app, make_app):
    result = delay(app, "add", 1, 1)
    result.get(**WAIT)
    app.backend.cleanup()
    assert make_app().AsyncResult(result.id).state == "SUCCESS"
    make_app(result_expires=-3600).backend.cleanup()
    assert make_app().AsyncResult(result.id).state == "PENDING"


def test_without_a_worker(make_app):
    eager = make_app(task_always_eager=True, task_store_eager_result=True)
    result = delay(eager, "add", 20, 22)
    assert make_app().AsyncResult(result.id).get(**WAIT) == 42


PROGRAM = "tests.apps.programs.tasks"
QUIET = ["-c", "2", "-l", "warning", "--without-mingle", "--without-gossip"]


@pytest.fixture
def run(url):
    """Start processes that have nothing but the cluster: messages and results are there."""
    need("celery", "'celery[sqlalchemy]>=5.7'")
    settings = {"TASKS_BROKER": f"sqla+{url}", "TASKS_RESULTS": f"db+{url}"}
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", *arguments]
        pipe, environment = subprocess.PIPE, {**os.environ, **settings}
        started.append(
            subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    """What a process printed; it must have ended well."""
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return output


@pytest.mark.parametrize("scheme", ["dqlite"], indirect=True)
def test_nothing_but_the_cluster(run):
    assert ended(run(PROGRAM, "0")) == "0\n"
    worker = run("celery", "-A", PROGRAM, "worker", *QUIET)
    senders = [run(PROGRAM, "10") for _ in range(2)]
    assert [ended(sender) for sender in senders] == ["90\n", "90\n"]
    worker.terminate()
    ended(worker)
