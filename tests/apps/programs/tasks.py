"""A Celery application; as a program: `tasks.py COUNT` sends tasks and adds their results.

Where messages and results go is in the environment then, and for `celery worker`.
"""

import os
import sys
from typing import Any

from celery import Celery
from celery.exceptions import Ignore


def make_app(broker: str, results: str, **settings: Any) -> Celery:
    """Make an application with some tasks."""
    app = Celery("tasks", broker=broker, backend=results, set_as_current=False)
    app.conf.update(result_extended=True, result_chord_retry_interval=0.05, **settings)
    app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
    for task in (add, total, fail, describe):
        app.task(task, name=task.__name__)
    app.task(hold, name="hold", bind=True)
    return app


def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


def total(numbers: list[int]) -> int:
    """Return the sum of many."""
    return sum(numbers)


def fail(text: str) -> None:
    """Raise an error."""
    raise LookupError(text)


def describe(value: Any) -> dict[str, Any]:
    """Return something structured."""
    return {"value": value, "kind": type(value).__name__}


def hold(self: Any) -> None:
    """Leave a state of its own."""
    self.update_state(state="PROGRESS", meta={"done": 3})
    raise Ignore


if "TASKS_BROKER" in os.environ:
    app = make_app(os.environ["TASKS_BROKER"], os.environ["TASKS_RESULTS"])

if __name__ == "__main__":
    with app.connection_for_write() as connection:
        app.amqp.queues["celery"].bind(connection.default_channel).declare()
    sent = [app.signature("add", (n, n)).delay() for n in range(int(sys.argv[1]))]
    print(sum(result.get(timeout=30, interval=0.05) for result in sent))
