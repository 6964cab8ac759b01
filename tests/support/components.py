"""Loads what some tests need beside pytest; what is missing fails them with the line to type."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


def need(module: str, distribution: str) -> ModuleType:
    """Import `module`, or fail the test and name the distribution to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
    pytest.fail(f"{module} is missing: python -m pip install {distribution}", pytrace=False)
