"""``export``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="BUNDLE", help="The folder of the bundle.")],
    cohort: MovedCohort = None,
) -> None:
    """Write a bundle of a run for use elsewhere: weights, clusters, settings and a model card; no case, no path."""
    from dcam_dist.inference import export_run

    for line in export_run(run, out, cohort=cohort).lines():
        typer.echo(line)
