"""Where the time of a call goes, stage by stage, without a change to the code that is measured."""

import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

REST = "the rest"


class StageClock:
    """Adds up the wall seconds of each stage; the time of a stage within another counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open = [REST]
        self._since = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within for a stage."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


@contextmanager
def timed_stages(stages: Mapping[str, str], package: str) -> Iterator[StageClock]:
    """Time named functions wherever the package's modules hold them.

    Args:
        stages: ``module:function`` to the name of its stage; functions of the calling thread only.
        package: Whose loaded modules are looked through.

    Yields:
        The clock; ``seconds`` is whole when the context has ended, the time outside all stages under ``REST``.

    Raises:
        AttributeError: When a function does not exist.
    """
    clock = StageClock()
    undo: list[tuple[Any, str, Any]] = []
    for path, name in stages.items():
        module_name, _, function_name = path.partition(":")
        original = getattr(import_module(module_name), function_name)
        timed = _timed(original, clock, name)
        for module in [m for key, m in sys.modules.items() if key == package or key.startswith(f"{package}.")]:
            for attribute, value in list(vars(module).items()):
                if value is original:
                    undo.append((module, attribute, original))
                    setattr(module, attribute, timed)
    try:
        with clock.stage(REST):
            yield clock
    finally:
        for module, attribute, original in undo:
            setattr(module, attribute, original)


def _timed(function: Callable[..., Any], clock: StageClock, name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*arguments: Any, **keywords: Any) -> Any:
        with clock.stage(name):
            return function(*arguments, **keywords)

    return timed
