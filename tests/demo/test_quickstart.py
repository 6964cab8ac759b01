"""Runs the quickstart as its users do, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dqlite_node.quickstart.errors import QuickstartError
from dqlite_node.quickstart.zonetable import read_zone_table

COMMAND = [sys.executable, "-u", "-m", "dqlite_node", "demo"]


class Demo:
    """A running demo; everything it starts is known by a word in its environment."""

    def __init__(self, *arguments):
        self.mark = f"QUICKSTART_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**os.environ, name: value, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self):
        """Ids of the live processes that descend from the demo, itself included."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def lines(self):
        """What it prints, line by line until its end."""
        return iter(self.process.stdout.readline, "")

    def wait(self, condition, seconds):
        """Wait until `condition()`; fail the test after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self, seconds):
        """Wait for the end; return the exit status and the output."""
        output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, output


@pytest.fixture
def start():
    demos = []

    def run(*arguments):
        demos.append(Demo(*arguments))
        return demos[-1]

    yield run
    for demo in demos:
        for process in demo.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        demo.process.wait()
        demo.process.stdout.close()


def test_it_passes_and_leaves_no_process(start):
    demo = start()
    status, output = demo.end(60)
    assert status == 0, output
    assert demo.processes() == []


def test_keep_leaves_a_usable_cluster_until_ctrl_c(start):
    demo = start("--keep")
    url = next(match[0] for line in demo.lines() if (match := re.search(r"dqlite://[^\s']+", line)))
    engine = create_engine(url)
    with engine.connect() as connection:
        zones = connection.scalar(text("SELECT count(*) FROM zones"))
    engine.dispose()
    assert zones > 300
    demo.process.send_signal(signal.SIGINT)
    status, output = demo.end(15)
    assert status == 0, output
    assert demo.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("steps", [0, 4])
def test_interrupts_leave_no_process(start, number, steps):
    demo = start()
    demo.wait(lambda: len(demo.processes()) > 3, 20)
    done = (line for line in demo.lines() if line.startswith("ok "))
    for _ in range(steps):  # the fifth takes a second anywhere: it writes through a failover
        next(done)
    demo.process.send_signal(number)
    status, output = demo.end(20)
    assert status == 130, output
    assert demo.processes() == []


def test_missing_tzdata_is_explained(tmp_path):
    with pytest.raises(QuickstartError):
        read_zone_table(tmp_path)


def test_zone_table_is_read(tmp_path):
    (tmp_path / "iso3166.tab").write_text("#c\nGB\tBritain (UK)\nAQ\tAntarctica\nZZ\tNone\n")
    (tmp_path / "zone.tab").write_text(
        "#c\nGB\t+513030-0000731\tEurope/London\nAQ\t-6617+11031\tAntarctica/Casey\tCasey\n"
    )
    britain, antarctica = read_zone_table(tmp_path)
    assert (britain.name, antarctica.code) == ("Britain (UK)", "AQ")
    (london,), (casey,) = britain.zones, antarctica.zones
    assert (london.name, london.comment, casey.comment) == ("Europe/London", None, "Casey")
    assert london.latitude == pytest.approx(51.508333, abs=1e-5)
    assert casey.latitude == pytest.approx(-66.283333, abs=1e-5)
    assert casey.longitude == pytest.approx(110.516666, abs=1e-5)
