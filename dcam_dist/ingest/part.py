"""``ingest_part``: one of several calls, on different nodes, that bring scans into one cohort at the same time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcam_dist.config import Config
from dcam_dist.errors import UsageError
from dcam_dist.ingest.begin import Named, begin, join
from dcam_dist.ingest.call import IngestCall
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.lock import one_writer_of_many
from dcam_dist.ingest.one_case import private_umask
from dcam_dist.ingest.run import Progress, in_order, run_jobs
from dcam_dist.ingest.scan_source import ScanSource
from dcam_dist.ingest.search import Looked
from dcam_dist.ingest.sources import find_scans
from dcam_dist.types import QuarantineEntry


@dataclass(frozen=True)
class Part:
    """Which share of the scans: by order of case id, every ``count``-th from the ``index``-th on.

    Attributes:
        index: From 1.
        count: How many parts there are.

    Raises:
        UsageError: When there is no such part.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"part {self}: there is none; parts are 1/{self.count} to {self.count}/{self.count}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """A part from ``I/N``.

        Raises:
            UsageError: When the text is anything else.
        """
        if not (match := re.fullmatch(r"([0-9]{1,9})/([1-9][0-9]{0,8})", text)):
            raise UsageError(f"--part {text}: not I/N with I from 1 to N; write 2/8 for the second of eight")
        return cls(int(match[1]), int(match[2]))

    def share(self, named: Named) -> Named:
        """This part of all scans, which are in the order of their ids."""
        return named[self.index - 1 :: self.count]


@dataclass(frozen=True)
class PartSummary:
    """What became of one part of the scans.

    Attributes:
        cohort: The store, not sealed yet.
        part: Which part.
        scans: Scans of all parts.
        accepted: Cases of this part that are stored.
        quarantined: Cases of this part that cannot be used as it seems, by id; the last call judges them again.
    """

    cohort: Path
    part: Part
    scans: int
    accepted: int
    quarantined: tuple[QuarantineEntry, ...]


def ingest_part(
    sources: Sequence[Path | str],
    out: Path | str,
    part: Part,
    *,
    config: Config | None = None,
    hash_ids: bool = False,
    assume_hu: bool = False,
    progress: Progress | None = None,
    looked: Looked | None = None,
) -> PartSummary:
    """Bring one part of the scans into a cohort, while others may bring in the other parts.

    All parts have the same arguments. When they have ended, in whatever way, one ``ingest`` with these arguments takes
    what is stored, does what is not, tries the cases set aside again, and seals: the cohort is then the same to the
    byte as by that one call alone. A cohort that is sealed already stays sealed over what it lists, as while ``ingest``
    adds to it.

    Args:
        sources: As for ``ingest``; every part looks at all of them, for ids and splits depend on all.
        out: The cohort, on a file system that all parts share and whose locks hold across its hosts.
        part: Which part.
        config: As for ``ingest``.
        hash_ids: As for ``ingest``.
        assume_hu: As for ``ingest``.
        progress: Called at the start and after each case of this part.
        looked: As for ``ingest``.

    Returns:
        Counts and the cases set aside.

    Raises:
        UsageError: As ``ingest``, or parts that write the cohort now have other arguments.
        DataError: As ``ingest``.
        EnvironmentFault: As ``ingest``, or an ``ingest`` that is no part is writing the cohort.
    """
    config, cohort = config or Config(), Path(out)
    scans = find_scans([Path(source) for source in sources], config.labels.names, looked)
    call = IngestCall.of(sources, config, hash_ids=hash_ids, assume_hu=assume_hu)
    with private_umask(), one_writer_of_many(cohort, partial(_begin, cohort, scans, call)) as (named, jobs):
        mine = part.share(named)
        ids = {case_id for case_id, _ in mine}
        accepted, quarantined = run_jobs(
            cohort,
            mine,
            [job for job in jobs if job.case_id in ids],
            config,
            assume_hu=assume_hu,
            crew_of=None,
            progress=progress,
        )
    return PartSummary(cohort, part, len(named), len(accepted), in_order(quarantined))


def _begin(cohort: Path, scans: Sequence[ScanSource], call: IngestCall, alone: bool) -> tuple[Named, list[CaseJob]]:
    return (begin if alone else join)(cohort, scans, call)
