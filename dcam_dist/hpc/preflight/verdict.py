"""What the first node makes of the accounts of all nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcam_dist.hpc.preflight.node_state import NodeState, Wanted

CLOCK_WARN_S = 2.0
"""Above this the logs of two nodes cannot be read side by side; nothing that is computed depends on clocks."""
CLOCK_FAIL_S = 60.0
"""Above this a training may save too late: it compares its node's clock with the end of the job's time."""


@dataclass(frozen=True)
class Clock:
    """A node's clock beside the first node's.

    Attributes:
        offset_s: How far it is ahead, in seconds.
        error_s: How far that may be off.
    """

    offset_s: float = 0.0
    error_s: float = 0.0


@dataclass(frozen=True)
class Findings:
    """What a preflight found.

    Attributes:
        faults: A line each; none: the job may begin.
        warnings: A line each.
        summary: One line for when all is well.
        speaks: Whether this node is the one to tell.
    """

    faults: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    summary: str = ""
    speaks: bool = True


def judge(wanted: Wanted, states: Sequence[NodeState], clocks: Sequence[Clock], late: Sequence[str]) -> Findings:
    """Compare the nodes.

    Args:
        wanted: What the job is to find.
        states: Those that came, the first node first.
        clocks: Of the same.
        late: Lines about those that did not come, or did not stay.
    """
    faults = [*late, *(fault for state in states for fault in state.faults), *_twice(states)]
    for state in states[1:]:
        faults += _differences(states[0], state, wanted)
    warnings = []
    for state, clock in zip(states, clocks, strict=True):
        line = f"{state.name}: its clock is {abs(clock.offset_s):.1f} s off that of {states[0].name}"
        if abs(clock.offset_s) - clock.error_s > CLOCK_FAIL_S:
            faults.append(f"{line}, so a job would save too late for the end of its time; ask for it to be set")
        elif abs(clock.offset_s) - clock.error_s > CLOCK_WARN_S:
            warnings.append(f"{line}; times in logs will not agree")
    return Findings(tuple(faults), tuple(warnings), _summary(wanted, states, clocks))


def _twice(states: Sequence[NodeState]) -> list[str]:
    seen, twice = set(), []
    for state in states:
        if state.number is not None and state.number in seen:
            twice.append(f"{state.name}: two tasks of it came; start one a node, srun --ntasks-per-node=1")
        seen.add(state.number)
    return twice


def _differences(first: NodeState, other: NodeState, wanted: Wanted) -> list[str]:
    found = [
        f"{other.name}: {name} {other.versions.get(name, 'unknown')}, but {first.name} has {here}; "
        "start all nodes from one environment"
        for name, here in first.versions.items()
        if other.versions.get(name) != here
    ]
    if first.seal and other.seal and first.seal != other.seal:
        found.append(
            f"{other.name}: {wanted.cohort} is another cohort there than on {first.name} (seal {other.seal[:12]}, not "
            f"{first.seal[:12]}); give a path that leads to the same store on all nodes"
        )
    return found


def _summary(wanted: Wanted, states: Sequence[NodeState], clocks: Sequence[Clock]) -> str:
    nodes = f"{wanted.nodes} node{'s' * (wanted.nodes > 1)}"
    gpus = f"× {wanted.gpus} GPU{'s' * (wanted.gpus > 1)}" if wanted.gpus else "without GPUs"
    parts = [f"preflight: {nodes} {gpus}"]
    if wanted.cohort is not None:
        parts.append(f"cohort {wanted.cohort} ({states[0].cases} training cases)")
    if wanted.output is not None:
        parts.append(f"output {wanted.output} writable")
    if len(states) > 1:
        worst_ms = 1000 * max(abs(clock.offset_s) + clock.error_s for clock in clocks)
        parts += [f"clocks within {max(1, round(worst_ms))} ms", "versions equal"]
    return ", ".join(parts)
