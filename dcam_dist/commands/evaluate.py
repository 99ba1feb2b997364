"""``evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs; several give one comparison.")],
    cohort: MovedCohort = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the comparison of all runs.")] = None,
) -> None:
    """Score runs on train and test: the paper's Table 1 beside nulls, intervals and honest baselines."""
    from rich.console import Console

    from dcam_dist import evaluation

    result = evaluation.evaluate(runs, cohort=cohort, out=out)
    if result.is_main:
        console = Console(width=None if Console().is_terminal else 150)
        for split in ("train", "test"):
            evaluation.render_console(result.methods, split, console)
        typer.echo("written: " + ", ".join(str(file) for file in result.files))
