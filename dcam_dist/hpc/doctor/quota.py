"""Quotas, as ``quota`` and Lustre's ``lfs quota`` print them: a table whose columns move, so it is read with care."""

import getpass
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.hpc.doctor.command import ask
from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.mounts import kind_of
from dcam_dist.hpc.doctor.numbers import size

NEARLY = 0.9
_FIGURE = re.compile(r"(\d+(?:\.\d+)?)([kKMGTPE]?)\*?")
_UNITS = "kMGTPE"


@dataclass(frozen=True)
class Quota:
    """Of this user on one file system.

    Attributes:
        place: The file system, as the command names it.
        used: Bytes.
        limit: Bytes, where writing is refused or a period of grace begins; 0: none.
        files: Number of them.
        file_limit: As ``limit``.
    """

    place: str
    used: int
    limit: int
    files: int
    file_limit: int

    @property
    def share(self) -> float:
        """The fuller of both, of 1."""
        pairs = ((self.used, self.limit), (self.files, self.file_limit))
        return max((used / limit for used, limit in pairs if limit), default=0.0)


def quota_lines(machine: Machine, folders: Sequence[Path]) -> list[Line]:
    """Ask whichever command is there; without one there is nothing to say."""
    quotas = []
    # its exit code says whether a limit is exceeded
    if (answer := ask(["quota", "-s", "-w"], machine.variables)) is not None:
        quotas += parse_quota(answer.out)
    for folder in folders:
        if kind_of(folder.resolve(), machine) != "lustre":
            continue
        answer = ask(["lfs", "quota", "-q", "-u", _user(), str(folder)], machine.variables)
        if answer is not None:
            quotas += parse_quota(answer.out)
    return [judge_quota(quota) for quota in dict.fromkeys(quotas)]


def parse_quota(text: str) -> list[Quota]:
    """The rows of either command; one whose name is long goes on in the next line.

    Bytes count in KiB where no unit is given, files in ones. Each half of a row is used, quota, limit and maybe grace.
    """
    found, place = [], ""
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] in ("Disk", "Filesystem"):
            continue
        if _FIGURE.fullmatch(words[0]) is None:
            place, words = words[0], words[1:]
        figures = [match for word in words if (match := _FIGURE.fullmatch(word))]
        if place and len(figures) == 6:
            found.append(_quota(place, figures))
            place = ""
    return found


def judge_quota(quota: Quota) -> Line:
    """Whether it is nearly used up."""
    limit = size(quota.limit) if quota.limit else "no limit"
    files = str(quota.file_limit) if quota.file_limit else "no limit"
    found = f"{size(quota.used)} of {limit}, {quota.files} of {files} files"
    if quota.share < NEARLY:
        return ok(f"quota: {quota.place}", found)
    said = fail if quota.share >= 1 else warn
    return said(f"quota: {quota.place}", found, "remove files, or ask for a larger quota; a project's may be larger")


def _quota(place: str, figures: Sequence[re.Match[str]]) -> Quota:
    used, soft, hard = (_scaled(figure, 1024, "k") for figure in figures[:3])
    files, file_soft, file_hard = (_scaled(figure, 1000, "") for figure in figures[3:])
    return Quota(place, used, _tighter(soft, hard), files, _tighter(file_soft, file_hard))


def _scaled(figure: re.Match[str], step: int, unit: str) -> int:
    unit = figure[2].upper().replace("K", "k") or unit
    return int(float(figure[1]) * step ** (_UNITS.index(unit) + 1 if unit else 0))


def _tighter(*limits: int) -> int:
    return min((limit for limit in limits if limit), default=0)


def _user() -> str:
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return ""
