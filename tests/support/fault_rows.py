"""What a row of the fault table is, and what a guard is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Same = Literal["", "bits", "close"]


@dataclass(frozen=True)
class Start:
    """One start of the training.

    Attributes:
        exits: The exit code of every rank that no signal ended; launched from nothing: of the launcher.
        line: A pattern that a line of the output must match.
        ranks: Processes.
        faults: As ``faulty_train`` takes them.
        settings: Beside those that all rows share.
        options: Of ``train``.
        variables: Of the environment; ``+N`` stands for the time in N seconds.
        before: What is done to the disk before, a name of ``disturbances.BEFORE``.
        meanwhile: What is done to the training while it runs, a name of ``disturbances.MEANWHILE``.
        launcher: ``torchrun`` or ``launch`` (``python -m dcam_dist.launch``), started from nothing.
    """

    exits: int = 0
    line: str = ""
    ranks: int = 1
    faults: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    meanwhile: str = ""
    launcher: Literal["", "torchrun", "launch"] = ""


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        key: Its name in the results.
        fault: In words.
        expected: R recovered, Q set aside, S stopped with one line; in the order in which they happen.
        how: How it is injected, in words.
        starts: Played by ``test_training_faults.py``.
        always: Faults that the run to compare with has too.
        same: After the last start the run is done, and the same as one that was left alone: to the last bit, or
            (``close``) in cases and steps, with losses within ``LOSS_TOLERANCE``.
        tests: Further tests, as paths or node ids of pytest.
        results: Result files of long campaigns that say more.
    """

    key: str
    fault: str
    expected: str
    how: str
    starts: tuple[Start, ...] = ()
    same: Same = ""
    always: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """Something that keeps a fault from doing harm. Taken out, something must fail.

    Attributes:
        name: How it is taken out: a key of ``guards.REMOVE``; or a name of its own.
        what: What it does.
        seen: What is seen without it: a pattern of how the row fails, whose dots match line ends too; of a test, words.
        row: The row that fails without it.
        test: Where no row fails, a test that takes it out and sees the harm.

    Raises:
        ValueError: When it does not say what is seen, or where: any failure would then prove it.
    """

    name: str
    what: str
    seen: str
    row: str = ""
    test: str = ""

    def __post_init__(self) -> None:
        if not self.seen or re.search(self.seen, "") or bool(self.row) == bool(self.test):
            raise ValueError(f"the guard {self.name!r} says nothing of what is seen without it, or not where")
