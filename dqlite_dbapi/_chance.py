"""Chance, which spreads clients out in time."""

from __future__ import annotations

import random

#: A number in [0, 1). Never the `random` module's own generator: whoever seeds that one gets the
#: numbers that they would get without a driver, whatever its threads draw meanwhile.
draw = random.SystemRandom().random
