"""The benchmarks of the suite: what ``python -m benchmarks`` lists and runs.

A benchmark is a module ``benchmarks.NAME`` with a function ``NAME(options)`` that gives ``Measured``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from benchmarks.harness import Benchmark


@dataclass(frozen=True)
class Entry:
    """How a benchmark is run where the command line does not say otherwise.

    Attributes:
        repeats: Rounds.
        cores: Cores; ``None``: all.
        minutes: About how long it takes on two cores.
        on_cards: Whether it has a size for a card.
        by_name: Runs only when it is named: long, or of what another one shows in short.
    """

    repeats: int
    minutes: int
    cores: int | None = None
    by_name: bool = False
    on_cards: bool = False


SUITE: Mapping[str, Entry] = MappingProxyType(
    {
        "memory": Entry(1, 5, on_cards=True),
        "throughput": Entry(9, 5, on_cards=True),
        "peers_step": Entry(9, 5, on_cards=True),
        "peers_cycle": Entry(5, 25),
        "peers_loading": Entry(5, 5),
        "epoch": Entry(5, 6),
        "memory_formats": Entry(9, 2),
        "fast_path": Entry(9, 3, by_name=True),
        "checkpoint_policies": Entry(5, 10),
        "engines": Entry(9, 3),
        "scaling": Entry(5, 6, on_cards=True),
        "streaming": Entry(9, 4),
        "stall": Entry(3, 2),
        "codec": Entry(5, 10),
        "ingest_throughput": Entry(5, 20, cores=1),
        "ingest_memory": Entry(2, 3),
        "inference": Entry(3, 5),
        "clustering_bound": Entry(15, 8, cores=2),
        "clustering": Entry(9, 40, cores=2, by_name=True),
        "voxel_patterns": Entry(3, 40, by_name=True),
        "rank_exchange": Entry(1, 16, by_name=True),
        "two_hosts": Entry(5, 30, by_name=True),
    }
)


def load(name: str) -> tuple[Benchmark, str]:
    """A benchmark and what it says of itself.

    Args:
        name: One of ``SUITE``.
    """
    module = import_module(f"benchmarks.{name}")
    return getattr(module, name), module.__doc__ or ""
