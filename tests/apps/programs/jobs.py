"""Jobs that schedulers find by their name."""

import queue

done: "queue.Queue[tuple[str, object]]" = queue.Queue()


def note(kind: str, value: object = None) -> None:
    """Say that a job ran."""
    done.put((kind, value))
