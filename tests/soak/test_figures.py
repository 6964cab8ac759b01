"""What a soak calls growth, and that a short one runs."""

from __future__ import annotations

import os

import pytest

from tests.soak import run
from tests.soak.figures import WARM_UP, Meter, Minute, Sample, growth, sample


def minutes(**last):
    """Minutes to warm up, then eight of the same figures, of which some differ in the last two."""
    steady = {"rss": 50.0, "fds": 30, "threads": 20, "p50": 5.0, "member": 80.0}

    def minute(figures):
        client = Sample(figures["rss"], figures["fds"], figures["threads"])
        member = Sample(figures["member"], 20, 8)
        return Minute(1000, 5, figures["p50"], 50.0, client, (member, None, member))

    start = [minute({**steady, "member": 20.0, "rss": 20.0})] * WARM_UP
    return start + [minute(steady)] * 6 + [minute({**steady, **last})] * 2


def test_what_is_steady_passes():
    assert growth(minutes()) == []
    assert growth(minutes()[:1]) == []
    assert growth(minutes(rss=52.0, fds=31, p50=8.0)) == []


@pytest.mark.parametrize(
    "last", [{"rss": 80.0}, {"fds": 60}, {"threads": 30}, {"p50": 50.0}, {"member": 200.0}], ids=str
)
def test_what_grows_is_named(last):
    assert len(growth(minutes(**last))) == 1


def test_a_process_is_measured():
    ours = sample(os.getpid())
    assert ours is not None
    assert ours.rss > 1
    assert ours.fds > 2
    assert ours.threads >= 1
    assert sample(None) is None


def test_the_meter_forgets_what_it_told():
    meter = Meter()
    meter.done(0.0)
    meter.failed(ValueError())
    assert meter.take()[:2] == (1, 1)
    assert meter.take() == (0, 0, 0.0, 0.0)
    assert meter.all_errors == {"ValueError": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_short_soak(capsys):
    """Too short for growth to mean anything; every part of it runs, forgotten connections too."""
    run.soak(0.1, seed=1)
    lines = capsys.readouterr().out.splitlines()
    operations = int(lines[1].split()[1])
    assert operations > 20
