"""``report``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run; evaluate it first.")],
    cohort: MovedCohort = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; without it RUN/report.html.")] = None,
) -> None:
    """Write what a run has found as one page that opens offline: scores, clusters, pictures, warnings, methods."""
    from dcam_dist.report.build import write_report

    typer.echo(f"written: {write_report(run, cohort=cohort, out=out)}")
