"""``maps``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort


def maps(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    case: Annotated[
        list[str] | None,
        typer.Option("--case", help="A case id, the cohort's or yours; repeat it. Without: typical cases."),
    ] = None,
    cohort: MovedCohort = None,
) -> None:
    """Write dense clustering activation maps: NIfTI in the scan's own space, overlays, and the figure."""
    from dcam_dist.maps import write_maps

    summary = write_maps(run, case_ids=case or (), cohort=cohort)
    typer.echo(f"{len(summary.files)} files under {run / 'maps'}")
    if summary.figure is not None:
        typer.echo(f"figure: {summary.figure}")
