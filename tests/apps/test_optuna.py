"""Optuna's storage: two processes work on one study, each reading before it writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.components import need

PROGRAM = Path(__file__).parent / "programs" / "study.py"
TRIALS = 12


@pytest.fixture
def optuna():
    return need("optuna", "'optuna>=5.0'")


@pytest.fixture
def storage(optuna, url):
    """Optuna's storage with its tables made."""
    storage = optuna.storages.RDBStorage(url)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


def work(url, *names):
    """Run the program once for each study, at the same time."""
    pipe = subprocess.PIPE
    commands = [[sys.executable, str(PROGRAM), url, name, str(TRIALS)] for name in names]
    processes = [subprocess.Popen(each, stdout=pipe, stderr=pipe, text=True) for each in commands]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=90)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()


def test_two_processes_share_a_study(optuna, storage, url):
    optuna.create_study(study_name="shared", storage=storage)
    work(url, "shared", "shared")
    study = optuna.load_study(study_name="shared", storage=storage)
    assert [trial.number for trial in study.trials] == list(range(2 * TRIALS))
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE" if n % 5 else "PRUNED" for n in range(2 * TRIALS)]
    assert all(len(trial.intermediate_values) == 3 for trial in study.trials)
    assert all(trial.user_attrs["where"] == list(trial.params.values()) for trial in study.trials)
    best = min(
        (t for t in study.trials if t.value is not None and t.number % 5), key=lambda t: t.value
    )
    assert study.best_trial.number == best.number


def test_what_a_study_holds(optuna, storage):
    study = optuna.create_study(study_name="one", storage=storage, directions=["minimize"] * 2)
    study.set_user_attr("note", {"a": [1, None]})
    study.enqueue_trial({"x": 1.5})
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 2)})
    study.tell(trial, [float("inf"), -1.0])
    again = optuna.load_study(study_name="one", storage=storage)
    assert again.user_attrs == {"note": {"a": [1, None]}}
    assert (again.trials[0].params, again.trials[0].values) == ({"x": 1.5}, [float("inf"), -1.0])
    assert storage.get_current_version() == storage.get_head_version()
    optuna.delete_study(study_name="one", storage=storage)
    assert optuna.get_all_study_names(storage) == []
