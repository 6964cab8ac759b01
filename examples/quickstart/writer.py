"""A thread that keeps inserting rows, each known by its own key, whatever happens to the leader."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from itertools import count, pairwise
from types import TracebackType

from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError

from dqlite_dbapi import Error as DriverError

from .models import Beat

PAUSE = 0.002  # seconds between rows: a steady load that leaves the CPU to the members


class Writer:
    """Writes one row per transaction from entering the `with` block to leaving it.

    `acknowledged` maps each row's number to the time (monotonic seconds) when its COMMIT was
    confirmed; `failures` counts tries that a failing cluster ended; `unknown` those of them
    where the COMMIT was on its way, so that only the next try could tell.
    """

    def __init__(self, engine: Engine) -> None:
        self.acknowledged: dict[int, float] = {}
        self.failures = 0
        self.unknown = 0
        self._engine = engine
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=15 if error is None else 1)
        if error is None and self._error is not None:
            raise self._error

    def wait_for_rows(self, rows: int, timeout: float) -> bool:
        """Wait until `rows` more rows are acknowledged; False when `timeout` seconds passed."""
        goal, deadline = len(self.acknowledged) + rows, time.monotonic() + timeout
        while len(self.acknowledged) < goal and time.monotonic() < deadline:
            if not self._thread.is_alive():
                return False
            time.sleep(0.01)
        return len(self.acknowledged) >= goal

    def longest_pause(self) -> float:
        """Return the longest time between two acknowledgements, in seconds."""
        times = list(self.acknowledged.values())
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def _run(self) -> None:
        try:
            for number in count(1):
                if self._stop.is_set():
                    return
                self._write(number)
                time.sleep(PAUSE)
        except BaseException as error:
            self._error = error

    def _write(self, number: int) -> None:
        """Insert one row, again and again until it is acknowledged.

        ON CONFLICT DO NOTHING on the row's own key makes the next try right in all cases: when
        the last one was applied it changes nothing, else it inserts.
        """
        row = insert(Beat).values(number=number, written_at=datetime.now(timezone.utc))
        while not self._stop.is_set():
            try:
                with self._engine.begin() as connection:
                    connection.execute(row.on_conflict_do_nothing())
            except DBAPIError as error:
                self._note(error)
            else:
                self.acknowledged[number] = time.monotonic()
                return

    def _note(self, error: DBAPIError) -> None:
        cause = error.orig
        if not isinstance(cause, DriverError) or not (cause.is_retryable or cause.is_ambiguous):
            raise error
        self.failures += 1
        self.unknown += cause.is_ambiguous
        time.sleep(PAUSE)
