"""The libraries that are measured against: the extra ``bench``. A benchmark leaves out what is not installed."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def find(module: str, *needed: str) -> Any | None:
    """A peer's module, or ``None`` where it or something that it needs here is not installed."""
    with quiet():
        try:
            for name in needed:
                import_module(name)
            return import_module(module)
        except ImportError:
            return None


@contextmanager
def quiet() -> Iterator[None]:
    """Without the peers' warnings about their own dependencies."""
    logger = logging.getLogger("monai")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def absent(name: str) -> str:
    """The line that says what is missing from a result."""
    return f"{name} is not installed and was left out: pip install 'dcam-dist[bench]'."
