"""Kombu's SQLAlchemy transport: processes pass messages through tables of the cluster."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.components import need

PROGRAM = Path(__file__).parent / "programs" / "mail.py"
COUNT = 30


@pytest.fixture
def start():
    """Start processes; those that a failed test leaves are ended."""
    need("kombu", "'kombu[sqlalchemy]>=5.7'")
    started = []

    def begin(*arguments):
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    """Lines that a process printed; it must have ended well."""
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), errors
    return output.splitlines()


def expected(*senders):
    return [f"{who} {number}" for who in senders for number in range(COUNT)]


def test_messages_wait_for_their_receiver(start, url):
    ended(start("send", url, "a", COUNT))
    receiver = start("receive", url)
    ended(start("send", url, "b", COUNT))
    ended(start("send", url, "stop", 1))
    assert ended(receiver) == expected("a", "b")


def test_two_senders_and_two_receivers(start, url):
    ended(start("send", url, "x", 0))
    receivers = [start("receive", url) for _ in range(2)]
    for sender in [start("send", url, who, COUNT) for who in "ab"]:
        ended(sender)
    ended(start("send", url, "stop", 2))
    received = [ended(receiver) for receiver in receivers]
    assert Counter(received[0] + received[1]) == Counter(expected("a", "b"))
