"""APScheduler keeps its jobs in the cluster: they outlive the scheduler that was given them."""

from __future__ import annotations

import importlib
import time
from datetime import datetime, timezone

import pytest

from tests.apps.programs import jobs
from tests.support.components import need

JOB = "tests.apps.programs.jobs:note"
FAR = datetime(2200, 1, 1, 12, 30, tzinfo=timezone.utc)


@pytest.fixture
def make_scheduler(url):
    """Make schedulers, started, with their jobs in one database.

    A scheduler may look at its jobs once more after it has closed its connections.
    """
    need("apscheduler", "'APScheduler>=3.11,<4'")
    background = importlib.import_module("apscheduler.schedulers.background")
    stores = importlib.import_module("apscheduler.jobstores.sqlalchemy")
    made = []

    def make():
        store = stores.SQLAlchemyJobStore(url=url)
        scheduler = background.BackgroundScheduler(jobstores={"default": store})
        made.append((scheduler, store))
        scheduler.start()
        return scheduler

    yield make
    for scheduler, store in made:
        if scheduler.running:
            scheduler.shutdown()
        store.engine.dispose()


@pytest.fixture(autouse=True)
def _nothing_done():
    while not jobs.done.empty():
        jobs.done.get()


def test_jobs_outlive_their_scheduler(make_scheduler):
    first = make_scheduler()
    given = first.add_job(JOB, "cron", ["x"], hour=3, id="nightly", name="ü", timezone="UTC")
    first.add_job(JOB, "date", ["y", {"b": b"\0"}], run_date=FAR, id="far")
    first.shutdown()
    second = make_scheduler()
    assert [job.id for job in second.get_jobs()] == ["nightly", "far"]
    nightly, far = (second.get_job(name) for name in ("nightly", "far"))
    assert (nightly.name, str(nightly.trigger)) == ("ü", str(given.trigger))
    assert nightly.next_run_time == given.next_run_time
    assert (far.args, far.next_run_time) == (("y", {"b": b"\0"}), FAR)


def test_a_job_runs_in_a_later_scheduler(make_scheduler):
    first = make_scheduler()
    first.add_job(JOB, "date", ["once", [1, None]], run_date=FAR, id="far")
    first.shutdown()
    second = make_scheduler()
    assert jobs.done.empty()
    second.get_job("far").modify(next_run_time=datetime.now(timezone.utc), misfire_grace_time=60)
    assert jobs.done.get(timeout=10) == ("once", [1, None])
    deadline = time.monotonic() + 10
    while second.get_jobs() and time.monotonic() < deadline:  # it forgets the job after that
        time.sleep(0.01)
    second.shutdown()
    assert make_scheduler().get_jobs() == []


def test_a_repeated_job(make_scheduler):
    scheduler = make_scheduler()
    scheduler.add_job(JOB, "interval", ["tick"], seconds=0.05, id="tick")
    assert [jobs.done.get(timeout=10)[0] for _ in range(3)] == ["tick"] * 3
    scheduler.remove_job("tick")
    assert scheduler.get_jobs() == []


def test_jobs_are_changed(make_scheduler):
    scheduler = make_scheduler()
    job = scheduler.add_job(JOB, "date", ["old"], run_date=FAR, id="far")
    job.modify(args=("new",), name="renamed")
    job.pause()
    stored = make_scheduler().get_job("far")
    assert (stored.args, stored.name, stored.next_run_time) == (("new",), "renamed", None)
    stored.resume()
    assert make_scheduler().get_job("far").next_run_time == FAR


def test_an_id_is_taken_once(make_scheduler):
    scheduler, other = make_scheduler(), make_scheduler()
    scheduler.add_job(JOB, "date", ["first"], run_date=FAR, id="far")
    conflict = importlib.import_module("apscheduler.jobstores.base").ConflictingIdError
    with pytest.raises(conflict):
        other.add_job(JOB, "date", ["second"], run_date=FAR, id="far")
    other.add_job(JOB, "date", ["second"], run_date=FAR, id="far", replace_existing=True)
    assert scheduler.get_job("far").args == ("second",)
