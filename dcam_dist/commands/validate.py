"""``validate``."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dcam_dist.cohort import Finding, ValidationReport

PROGRESS_S = 15.0


def validate(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort made by ingest.")],
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[SOURCE]...", help="With --repair: where the scans are now.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Ingest damaged cases again; delete foreign files; restore the tables.")
    ] = False,
) -> None:
    """Compare every file of a cohort with what was written: damaged, missing, empty, foreign, uncommitted.

    One line a finding; exit code 3 where anything is wrong and not mended. Nothing is changed without --repair.
    """
    from dcam_dist.cohort import validate as validate_cohort
    from dcam_dist.errors import DataError, UsageError
    from dcam_dist.ingest.repair import repair as mend

    if sources and not repair:
        raise UsageError("SOURCE goes with --repair")
    report = validate_cohort(cohort, progress=_progress_lines())
    for found in report.findings:
        typer.echo(_line(found))
    if report.whole:
        typer.echo(f"{cohort}: {len(report.cases)} cases, all as they were written")
        return
    if not repair:
        raise DataError(f"{_summary(report)}; mend it with: dcam-dist validate {cohort} --repair")
    summary = mend(report, sources or ())
    for case_id in summary.changed:
        typer.echo(f"case {case_id}: is not what it was, because its scan is not")
    left = validate_cohort(cohort, summary.ingested)
    if not left.whole:
        raise DataError(f"{cohort}: {_line(left.findings[0])}, even after the repair; is the disk sound?")
    typer.echo(
        f"{cohort}: mended; cases ingested again: {len(summary.ingested)}, "
        f"foreign files and folders deleted: {len(summary.deleted)}"
    )


def _line(found: "Finding") -> str:
    path = found.path if found.path.isprintable() else ascii(found.path)
    return f"{f'case {found.case_id}' if found.case_id else 'cohort'}: {path}: {found.fault}: {found.detail}"


def _summary(report: "ValidationReport") -> str:
    cases, findings = report.damaged_cases, len(report.findings)
    named = f" ({cases[0]}{', …' * (len(cases) > 1)})" if cases else ""
    things = "1 thing" if findings == 1 else f"{findings} things"
    return f"{report.cohort}: {things} wrong, {len(cases)} of {len(report.cases)} cases damaged{named}"


def _progress_lines() -> Callable[[int, int], None]:
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_S:
            last = time.monotonic()
            typer.echo(f"{done} of {total} cases", err=True)

    return show
