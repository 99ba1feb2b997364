"""Hypothesis strategies drawn from a seed, so that an input can be made again from its number alone."""

from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_BUFFER = 1024
_ATTEMPTS = 20


class SeededDraw:
    """Draws from a strategy, the choices made by the bytes of a seeded generator."""

    def __init__(self, strategy: st.SearchStrategy[Any]) -> None:
        self._drawn: list[Any] = []

        @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(strategy)
        def draw(value: Any) -> None:
            self._drawn.append(value)

        self._fuzz = draw.hypothesis.fuzz_one_input

    def __call__(self, rng: Random) -> Any:
        """One value; bytes that do not lead to one are passed over."""
        self._drawn.clear()
        for _ in range(_ATTEMPTS):
            self._fuzz(rng.randbytes(_BUFFER))
            if self._drawn:
                return self._drawn[0]
        raise RuntimeError("the strategy needs more bytes")
