"""Trainings that go on with another number of ranks: 1 → 2 → 3 → 4 → 1, and every pair of 1 to 4.

    PYTHONPATH=tests python -m benchmarks run rank_exchange --out DIR [--profile cpu|cpu-smoke]

Every start but the last is asked to leave (SIGUSR1, put in by ``tests/support/faulty_train.py``) within an epoch, the
next one goes on with another number of ranks, from torchrun. Losses are compared with those of a run on one rank that
was left alone; where the number stays the same, all of the end with that of a run on as many, bit for bit.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Measured, Options, Series, Target
from benchmarks.kill_chain import differences
from benchmarks.launched import Launched, train_command
from benchmarks.report import number, table
from benchmarks.training_kills import SETTINGS, make_cohort
from dcam_dist.runs import latest_checkpoint
from dcam_dist.runs.metrics_lines import read_metrics

RANKS, SMOKE_RANKS = (1, 2, 3, 4), (1, 2)
EPOCHS = 5
STEPS_A_START = 3
LEFT = 75
TOLERANCE = 1e-4


def rank_exchange(options: Options) -> Measured:
    """Losses after every exchange, beside those of one rank."""
    ranks = SMOKE_RANKS if options.smoke else RANKS
    cohort = make_cohort(options.scratch, options.seed)
    alone = {count: _whole(cohort, options.scratch / f"alone{count}", count) for count in ranks}
    chain = _chain(cohort, options.scratch / "chain", (*ranks, 1))
    pairs = {(one, two): _pair(cohort, options.scratch, one, two) for one in ranks for two in ranks}
    apart = Series("loss, exchange against one rank", "nat", tuple(_apart(chain, alone[1])))
    worst = {pair: max(_apart(path, alone[1])) for pair, path in pairs.items()}
    every = Series("loss, pairs against one rank", "nat", tuple(worst.values()))
    same = {count: not differences(pairs[count, count], alone[count]) for count in ranks}
    clusters = sum(_clusters(path) == _clusters(alone[1]) for path in (chain, *pairs.values()))
    return Measured(
        title=f"Ranks exchanged across resumes: {' → '.join(map(str, (*ranks, 1)))}",
        config={"settings": SETTINGS, "epochs": EPOCHS, "steps a start": STEPS_A_START},
        series=(apart, every),
        targets=tuple(
            Target(Series(f"largest difference of the {one.name}", "nat", (max(one.samples),)), TOLERANCE, "at_most")
            for one in (apart, every)
        ),
        notes=(
            f"{clusters} of {len(pairs) + 1} runs ended with every case in the same cluster as on one rank.",
            f"With the same number of ranks, {sum(same.values())} of {len(same)} ended the same to the last bit.",
            "All runs took the same steps on the same cases: the draws left over are in the checkpoint.",
        ),
        details={"pairs": {f"{one} to {two}": apart for (one, two), apart in worst.items()}, "same_bits": same},
        tables={"Largest difference of an epoch's loss from one rank": _table(worst, ranks)},
    )


def _chain(cohort: Path, run: Path, ranks: Sequence[int]) -> Path:
    for count in ranks[:-1]:
        _start(cohort, run, count, leave=True)
    _start(cohort, run, ranks[-1])
    return run


def _pair(cohort: Path, folder: Path, one: int, two: int) -> Path:
    run, begun = folder / f"pair{one}{two}", folder / f"begun{one}"
    if not begun.is_dir():
        _start(cohort, begun, one, leave=True)
    shutil.copytree(begun, run)
    _start(cohort, run, two)
    return run


def _whole(cohort: Path, run: Path, ranks: int) -> Path:
    _start(cohort, run, ranks)
    return run


def _start(cohort: Path, run: Path, ranks: int, *, leave: bool = False) -> None:
    """Train to the end, or leave after some steps."""
    arguments = [*SETTINGS, f"training.epochs={EPOCHS}", f"data.cohort={cohort}", f"output={run}"]
    faults = [f"usr@update:{STEPS_A_START}/0"] if leave else []
    launcher = "launch" if ranks > 1 else ""
    started = Launched(train_command(arguments, ranks=ranks, launcher=launcher, faults=faults), run.with_suffix(".log"))
    if started.wait() != [LEFT if leave else 0]:
        raise RuntimeError(started.said)


def _apart(run: Path, alone: Path) -> list[float]:
    lines, others = read_metrics(run), read_metrics(alone)
    assert [line["steps"] for line in lines] == [line["steps"] for line in others], "other numbers of steps"
    return [abs(line["loss"] - other["loss"]) for line, other in zip(lines, others, strict=True)]


def _clusters(run: Path) -> dict[str, int]:
    checkpoint = latest_checkpoint(run)
    assert checkpoint is not None and checkpoint.assignment is not None
    return checkpoint.assignment.by_case()


def _table(worst: dict[tuple[int, int], float], ranks: Sequence[int]) -> str:
    rows = [[f"begun on {one}", *(_cell(worst[one, two]) for two in ranks)] for one in ranks]
    return table(["", *(f"gone on with {two}" for two in ranks)], rows)


def _cell(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-3 else number(value)
