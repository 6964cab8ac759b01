"""The one way in which the quickstart fails on purpose."""

from __future__ import annotations


class QuickstartError(Exception):
    """Something that had to hold did not, or a needed file is missing; the text says which."""
