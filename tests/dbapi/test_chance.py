from __future__ import annotations

import random

import pytest

from dqlite_dbapi import NoLeader


def test_the_numbers_of_an_application_that_seeds_random_stay_its_own(driver_open):
    """Pauses are spread by chance: here those of a search in which nobody answers."""
    before = random.getstate()
    with pytest.raises(NoLeader):
        driver_open(["127.0.0.1:1"], connect_timeout=0.5)
    assert random.getstate() == before
