"""Random orders of a node's calls, compared with the table of its states (hypothesis)."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dqlite_dbapi import Error
from dqlite_node import Node, NodeCrashed, NodeError
from dqlite_node.local import reserve_port
from dqlite_node.states import TRANSITIONS, State

CALLS = ("start", "stop", "close", "kill", "pause", "resume", "rebind", "exec")
#: Rows of the table for calls that share one.
ROWS = {"pause": "signal", "resume": "signal"}


def outcome(call: Callable[[], object]) -> NodeError | None:
    """The error that a call ends in, None if it goes through."""
    try:
        call()
    except NodeError as error:
        return error
    return None


class Lifecycle(RuleBasedStateMachine):
    """One member, called in any order and from threads; `in_process` is set by a subclass."""

    in_process = True
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._port = self._stack.enter_context(reserve_port()).getsockname()[1]
        self._renew()

    def _renew(self) -> None:
        address = f"127.0.0.1:{self._port}"
        self.node = Node(address, self._folder, 1, in_process=self.in_process, min_free=0)
        self.state = State.STOPPED

    def _call(self, name: str) -> Callable[[], object]:
        node = self.node
        if name == "rebind":
            return lambda: node.set_bind_address(node.address)
        if name == "exec":
            return lambda: (node.open_db("main"), node.query("SELECT 1"))
        return getattr(node, name)  # type: ignore[no-any-return]

    @rule(name=st.sampled_from(CALLS))
    def call(self, name: str) -> None:
        """One call does what the table says."""
        Lifecycle.steps += 1
        expected: State | type[NodeError]
        if name == "exec":
            expected = self.state if self.state is State.RUNNING else NodeError
        else:
            expected = TRANSITIONS[ROWS.get(name, name), self.state]
            if self.in_process and name in ("kill", "pause", "resume"):
                expected = NodeError
        failure = outcome(self._call(name))
        if isinstance(expected, State):
            assert failure is None, f"{name} in {self.state}: {failure}"
            self.state = expected
            if name == "pause":
                self.node.resume()
        else:
            assert isinstance(failure, expected), f"{name} in {self.state}: {failure}"

    @rule()
    def renew(self) -> None:
        """A closed node gives way to a new one in the same directory."""
        if self.state is State.CLOSED:
            self._renew()

    @rule(seed=st.integers(0, 2**32), count=st.integers(2, 4))
    def race(self, seed: int, count: int) -> None:
        """Several threads at once: nothing but the errors of this distribution."""
        Lifecycle.steps += count
        choose = random.Random(seed)
        calls = [self._call(choose.choice(CALLS)) for _ in range(count)]
        wrong: list[BaseException] = []

        def run(call: Callable[[], object]) -> None:
            try:
                call()
            except NodeCrashed as error:
                wrong.append(error)
            except Error:
                return
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=run, args=(each,)) for each in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong
        self.node.stop()
        if self.node.status == "closed":
            self.state = State.CLOSED
        else:
            self.state = State.STOPPED

    @invariant()
    def tells_its_state(self) -> None:
        """Properties agree with the model and raise nothing."""
        node = self.node
        assert node.is_running is (self.state is State.RUNNING)
        assert (node.pid is not None) is node.is_running
        assert node.id == 1
        assert node.crash is None
        assert repr(node)

    def teardown(self) -> None:
        """Close what is there."""
        with self._stack:
            self.node.close()
