"""Runs trials of an Optuna study: `study.py URL NAME TRIALS`."""

import sys

import optuna


def objective(trial: optuna.Trial) -> float:
    """Something with a minimum of 0 at x = 2, y = "a"."""
    x = trial.suggest_float("x", -10, 10)
    y = trial.suggest_categorical("y", ["a", "b"])
    for step in range(3):
        trial.report(abs(x) / (step + 1), step)
    trial.set_user_attr("where", [x, y])
    if trial.number % 5 == 0:
        raise optuna.TrialPruned
    return (x - 2) ** 2 + (y == "b")


if __name__ == "__main__":
    url, name, trials = sys.argv[1:]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=url,
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    study.optimize(objective, n_trials=int(trials))
