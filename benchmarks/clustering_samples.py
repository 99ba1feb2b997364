"""The measurements of ``benchmarks.clustering``: contenders take turns, and what they say is kept."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from benchmarks.clustering_cases import Group, Plan
from benchmarks.clustering_contender import Case
from benchmarks.clustering_sessions import Call, Session, session
from benchmarks.harness import Options, Series, timed_series


@dataclass
class Samples:
    """Of one case.

    Attributes:
        case: The case.
        few: Calls of the smaller number of iterations.
        many: Calls of the larger one.
        peak_mb: One a session.
        inertia: After the last call.
    """

    case: Case
    few: list[Call] = field(default_factory=list)
    many: list[Call] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    inertia: float = float("nan")

    def seconds(self, name: str) -> Series:
        """Of a whole call."""
        return timed_series(name, [(call.wall_s, call.cpu_s) for call in self.many])

    def iteration(self, name: str, plan: Plan) -> Series:
        """Of one iteration, by difference."""
        fewer, more = plan.iterations
        pairs = zip(self.many, self.few, strict=True)
        return Series(name, "ms", tuple(1e3 * (many.wall_s - few.wall_s) / (more - fewer) for many, few in pairs))

    def peak(self, name: str) -> Series:
        """Resident memory above what there was with the rows, all ranks."""
        return Series(name, "MB", tuple(self.peak_mb))


Found = dict[tuple[str, int, int, int], Samples]
"""By contender, rows, channels and clusters."""


def measure(group: Group, plan: Plan, options: Options) -> Found:
    """All sessions of one group: side by side in turns, after one round to warm up, or one contender after another."""
    cases, sessions, together = group
    samples = {name: Samples(case) for name, case in cases.items()}
    rng = np.random.default_rng(options.seed)
    rounds = max(1, options.repeats // sessions) if together else 1
    for _ in range(sessions):
        if not together:
            for name in rng.permutation(list(cases)):
                with session(cases[name]) as alone:
                    _take_turns({name: alone}, 1, rng, plan, samples, warm=False)
            continue
        with ExitStack() as stack:
            started = {name: stack.enter_context(session(case)) for name, case in cases.items()}
            _take_turns(started, rounds, rng, plan, samples, warm=True)
    return {(name, case.rows, case.channels, case.clusters): samples[name] for name, case in cases.items()}


def _take_turns(
    started: Mapping[str, Session],
    rounds: int,
    rng: np.random.Generator,
    plan: Plan,
    samples: Mapping[str, Samples],
    *,
    warm: bool,
) -> None:
    for round_ in range(-1 if warm else 0, rounds):
        for name in rng.permutation(list(started)):
            fewer, more = plan.iterations
            whole_only = samples[name].case.contender.endswith("pipeline")
            # the first call of a turn does not count: a virtual machine gives memory that lay idle back to its host,
            # and gets it back slowly
            first, *calls = (started[name].call(n) for n in ((fewer, more) if whole_only else (fewer, fewer, more)))
            if round_ == (-1 if warm else 0):
                samples[name].peak_mb.append(max(call.peak_bytes for call in (first, *calls)) / 1e6)
            if round_ >= 0:
                samples[name].many.append(calls[-1])
                samples[name].few.extend(calls[:-1])
    for name, one in started.items():
        samples[name].inertia = one.inertia()
