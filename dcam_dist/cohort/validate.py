"""Look at every file of a cohort and name all that is damaged, missing, empty, foreign or uncommitted."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dcam_dist.cohort import layout
from dcam_dist.cohort.check import Fault, Finding, check_case, check_files, foreign, trusted_manifest
from dcam_dist.errors import DataError, UsageError

MAX_THREADS = 8
"""More than that no disk of ours feeds."""

Progress = Callable[[int, int], None]
"""Called after each case with the cases done and the cases in all."""


@dataclass(frozen=True)
class ValidationReport:
    """What is wrong with a cohort.

    Attributes:
        cohort: The store.
        cases: The cases that were looked at.
        findings: Everything that is wrong, the cohort's own files first, then by case.
        complete: Whether all cases were looked at.
    """

    cohort: Path
    cases: tuple[str, ...]
    findings: tuple[Finding, ...]
    complete: bool = True

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def damaged_cases(self) -> tuple[str, ...]:
        """Cases that must be ingested again."""
        wrong = (found for found in self.findings if found.case_id is not None and found.fault is not Fault.FOREIGN)
        return tuple(dict.fromkeys(str(found.case_id) for found in wrong))


def validate(
    cohort: Path | str,
    cases: Collection[str] | None = None,
    *,
    deep: bool = True,
    progress: Progress | None = None,
) -> ValidationReport:
    """Compare a cohort with its manifests; nothing is changed.

    Args:
        cohort: The store.
        cases: Only these cases, beside the cohort's own files; ``None``: all.
        deep: Read every byte; else of the volumes only the sizes and the indices, which misses changed voxels.
        progress: Called after each case.

    Raises:
        UsageError: When there is no cohort at the path, or no such case.
    """
    root = Path(cohort)
    if not any(os.path.lexists(root / name) for name in (*layout.ROOT_FILES, layout.MANIFEST, layout.CASES)):
        raise UsageError(f"{root}: no cohort here; make one with: dcam-dist ingest SOURCE --out {root}")
    manifest, findings = trusted_manifest(root)
    seals: Mapping[str, str | None] = dict.fromkeys(_unsealed_cases(root)) if manifest is None else manifest.cases
    if manifest is None:
        missing = [name for name in layout.ROOT_FILES if not (root / name).is_file()]
        findings += [Finding(None, name, Fault.DAMAGED, "missing") for name in missing]
    else:
        findings += check_files(root, manifest.files, deep=True)
    files = (*layout.ROOT_FILES, *layout.REPORT_FILES) if manifest is None else tuple(manifest.files)
    findings += map(partial(_explained, root), foreign(root, files, {f"{layout.CASES}/{case_id}" for case_id in seals}))
    chosen = sorted(seals if cases is None else cases)
    if unknown := set(chosen) - seals.keys():
        raise UsageError(f"{root}: no case {min(unknown)!r}; {layout.CASE_TABLE} lists the {len(seals)} cases")
    for done, of_case in enumerate(_checked(root, chosen, seals, deep=deep), start=1):
        findings += of_case
        if progress is not None:
            progress(done, len(chosen))
    return ValidationReport(root, tuple(chosen), tuple(findings), complete=cases is None)


def _checked(
    root: Path, chosen: Iterable[str], seals: Mapping[str, str | None], *, deep: bool
) -> Iterator[tuple[Finding, ...]]:
    def check(case_id: str) -> tuple[Finding, ...]:
        return check_case(root / layout.CASES / case_id, seals[case_id], deep=deep)

    with ThreadPoolExecutor(min(MAX_THREADS, len(os.sched_getaffinity(0)))) as pool:
        yield from pool.map(check, chosen)


def _unsealed_cases(root: Path) -> set[str]:
    """The cases of a cohort whose manifest says nothing: what is there, and what the table lists."""
    folders = {
        file.parent.name for name in ("zarr.json", layout.COMMIT) for file in (root / layout.CASES).glob(f"*/{name}")
    }
    try:
        return folders | {str(tree["case_id"]) for tree in layout.read_json(root / layout.CASE_TABLE)}
    except (DataError, KeyError, TypeError):
        return folders


def _explained(root: Path, found: Finding) -> Finding:
    if found.path == layout.INCOMING:
        return replace(found, detail="left by an interrupted ingest")
    if (root / found.path / layout.COMMIT).is_file():
        return replace(found, detail="a case that the table does not list; was ingest interrupted? Run it again")
    return found
