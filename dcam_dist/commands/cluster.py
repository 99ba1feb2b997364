"""``cluster``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dcam_dist.commands.options import ConfigFile, MovedCohort


def cluster(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A finished run, or a feature file.")],
    out: Annotated[Path, typer.Option("--out", metavar="ARTEFACT", help="Folder of the saved clustering.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. clustering.clusters=4 clustering.backend=torch."),
    ] = None,
    features: Annotated[
        Literal["pooled", "voxel"],
        typer.Option("--features", help="pooled: a row a scan. voxel: texture patterns of a run's cohort."),
    ] = "pooled",
    config: ConfigFile = None,
    cohort: MovedCohort = None,
) -> None:
    """Cluster the training cases of a run, or the rows of a file, and save it for assign. Alone or under a launcher.

    Without --config the settings are the run's own, or the defaults for a file.
    """
    from dcam_dist import analysis

    loaded = analysis.cluster_config(source, config, settings or [])
    if features == "voxel":
        from dcam_dist.analysis.patterns import cluster_voxels

        patterns = cluster_voxels(source, out, loaded, cohort=cohort)
        if patterns.is_main:
            typer.echo(patterns.quality.line())
            typer.echo(f"{len(patterns.patterns.size_K)} patterns, {len(patterns.subtypes.size_K)} subtypes: {out}")
        return
    made = analysis.cluster(source, out, loaded, cohort=cohort)
    if made is not None:
        for line in made.lines():
            typer.echo(line)
        typer.echo(f"written: {out} and {out}/clusters.csv; next: dcam-dist assign {out} FEATURES --out clusters.csv")
