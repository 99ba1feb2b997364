"""``faithfulness``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort


def faithfulness(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs of one cohort.")],
    cohort: MovedCohort = None,
    lesions: Annotated[
        Path | None, typer.Option("--lesions", help="Folder with CASE/lesion_mask.nii.gz; without: no word of lesions.")
    ] = None,
    cases: Annotated[int | None, typer.Option("--cases", help="At most so many of each split; without: all.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the comparison of all runs.")] = None,
) -> None:
    """Measure how far the maps can be trusted: what scores rest on, what maps point at, what random weights change."""
    from dcam_dist.maps.faithfulness import faithfulness as measure

    result = measure(runs, cohort=cohort, lesions=lesions, cases=cases, out=out)
    for line in result.verdicts:
        typer.echo(f"- {line}")
    typer.echo("written: " + ", ".join(str(file) for file in result.files))
