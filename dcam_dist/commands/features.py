"""``features``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dcam_dist.commands.options import MovedCohort


def features(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", help="The file: *.safetensors, *.npz or *.csv.")],
    cohort: MovedCohort = None,
    new_scans: Annotated[
        Path | None,
        typer.Option("--new-scans", metavar="COHORT", help="Of these scans, ingested with --config RUN/config.yaml."),
    ] = None,
    patterns: Annotated[
        Path | None,
        typer.Option(
            "--patterns", metavar="DIR", help="Made by cluster --features voxel: rows are shares of its patterns."
        ),
    ] = None,
    split: Annotated[Literal["train", "test", "all"], typer.Option("--split", help="The cases.")] = "all",
) -> None:
    """Write the lung-pooled features of a run's cases, or of new scans, a row each. Alone or under a launcher."""
    from dcam_dist.analysis import write_run_features

    summary = write_run_features(
        run, out, cohort=cohort, new_scans=new_scans, patterns=patterns, split=None if split == "all" else split
    )
    if summary.is_main:
        cases, channels = summary.table.features_NC.shape
        typer.echo(f"written: {out}, {cases} cases, {channels} channels")
