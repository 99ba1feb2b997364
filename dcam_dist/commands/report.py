"""``report``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run; evaluate it first.")],
    cohort: MovedCohort = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; without it RUN/report.html.")] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", help="A case of the 3D viewer; repeat it. Without: a typical case of each cluster."),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", help="Another run of this cohort, evaluated, for Table 1; repeat it."),
    ] = None,
) -> None:
    """Write what a run has found as one page that opens offline: scores, clusters, pictures, warnings, methods."""
    from dcam_dist.report.build import write_report

    typer.echo(f"written: {write_report(run, cohort=cohort, out=out, case_ids=case or (), compare=compare or ())}")
