"""Cases whose stored volumes turn out damaged while a run trains: all ranks leave them out together and go on."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.layout import mend
from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext
from dcam_dist.errors import DataError
from dcam_dist.runs import SetAsideCase, read_set_aside, write_set_aside
from dcam_dist.training.together import on_main

log = logging.getLogger(__name__)

MOST_SET_ASIDE = 0.05  # of the training cases, rounded up: beyond it the store is at fault, not a case


class SetAside:
    """The cases left out since this start of the run, the same on every rank.

    A case stays out until the run is started again, even if it is mended meanwhile; then it is tried anew.
    """

    def __init__(self, config: Config, case_id_N: tuple[str, ...], context: ProcessContext) -> None:
        self._case_id_N, self._context = case_id_N, context
        # not of the cohort that is read, which may be a staged copy
        self._run, self._remedy = config.output, mend(config.data.cohort or Path())
        self._fewest = 1 if config.method == "supervised" else config.clustering.clusters
        self._out: set[str] = set()

    def __contains__(self, case_id: str) -> bool:
        return case_id in self._out

    def __len__(self) -> int:
        return len(self._out)

    def rows(self) -> NDArray[np.bool_]:
        """Which of the training cases are out, (N,)."""
        return np.array([case_id in self._out for case_id in self._case_id_N])

    def resume(self, case_ids: Sequence[str], epoch: int) -> None:
        """Go on in the middle of an epoch without the given cases; all others are tried anew. All ranks call it.

        Takes off the run's list what was met in that epoch or later, save for the given cases: this start repeats it.

        Args:
            case_ids: Cases that were out when the epoch was left.
            epoch: The epoch to go on with.

        Raises:
            DataError: When the list is damaged.
            EnvironmentFault: When it cannot be written.
        """
        self._out.update(case_ids)
        self._list(lambda listed: tuple(case for case in listed if case.epoch < epoch or case.case_id in case_ids))

    def names(self) -> tuple[str, ...]:
        """The cases that are out, in alphabetical order."""
        return tuple(sorted(self._out))

    def add(self, damaged: Mapping[str, str], epoch: int, phase: str) -> None:
        """Set cases aside, log and list them. All ranks call it with the same cases; none is the usual case.

        Args:
            damaged: What is wrong with each case, as ``share_notes`` gives it.
            epoch: When they were met.
            phase: ``stage``, ``extract``, ``train`` or ``validate``.

        Raises:
            DataError: When more than ``MOST_SET_ASIDE`` of the cases are out, or too few are left to cluster.
            EnvironmentFault: When the list cannot be written.
        """
        new = [SetAsideCase(case_id, epoch, phase, reason) for case_id, reason in damaged.items()]
        if not new:
            return
        self._out.update(damaged)
        for case in new if self._context.is_main else ():
            log.warning(
                "case %s: set aside until the next start (epoch %d, %s): %s; %s",
                case.case_id,
                case.epoch + 1,
                case.phase,
                case.reason,
                self._remedy,
            )
        self._list(lambda listed: (*listed, *new))
        self._refuse_too_many(new[0])

    def _list(self, change: Callable[[Sequence[SetAsideCase]], Sequence[SetAsideCase]]) -> None:
        """Change the run's list on rank 0; where that fails, every rank stops."""

        def write() -> None:
            if self._run is not None:
                listed = read_set_aside(self._run)
                if (changed := change(listed)) != listed:
                    write_set_aside(self._run, changed)

        on_main(write, self._context)

    def _refuse_too_many(self, latest: SetAsideCase) -> None:
        total, out = len(self._case_id_N), len(self._out)
        if out > math.ceil(MOST_SET_ASIDE * total):
            raise DataError(
                f"{out} of {total} training cases are damaged, more than {MOST_SET_ASIDE:.0%} (the latest: "
                f"{latest.case_id}, {latest.reason}); {self._remedy}"
            )
        if total - out < self._fewest:
            raise DataError(
                f"case {latest.case_id} is damaged ({latest.reason}), and {total - out} training cases are fewer than "
                f"the {self._fewest} clusters; {self._remedy}"
            )
