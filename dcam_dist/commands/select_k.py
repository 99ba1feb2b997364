"""``select-k``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import ConfigFile, MovedCohort

CLUSTERS = "clustering.clusters"


def select_k(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A finished run, or a feature file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the table and the picture.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. clustering.pca_components=0.9 seed=1."),
    ] = None,
    first: Annotated[int, typer.Option("--from", help="Fewest clusters.")] = 2,
    last: Annotated[int, typer.Option("--to", help="Most clusters.")] = 10,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="Clusterings that differ in their seed alone.")] = 20,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Bootstrap resamples of the cases.")] = 100,
    references: Annotated[int, typer.Option("--references", min=2, help="References of the gap statistic.")] = 50,
    config: ConfigFile = None,
    cohort: MovedCohort = None,
) -> None:
    """How many clusters? Gap statistic, silhouette and others, and stability, over a range of numbers of clusters.

    Of the training cases of a run, or the rows of a file. The settings are the run's own, or the defaults for a file.
    """
    from dcam_dist.config import load_config
    from dcam_dist.errors import UsageError

    if any(setting.partition("=")[0] == CLUSTERS for setting in settings or []):
        raise UsageError(f"{CLUSTERS}: here the numbers of clusters are --from {first} --to {last}")
    load_config(config, settings or [])  # before torch: a typing error is told at once
    from rich.console import Console

    from dcam_dist import analysis
    from dcam_dist.commands.select_k_progress import shown_progress

    loaded = analysis.cluster_config(source, config, settings or [])
    effort = analysis.Effort(seeds, resamples, references, loaded.evaluation.silhouette_cases)
    with shown_progress() as view:
        found = analysis.select_k(
            source, out, loaded, first=first, last=last, effort=effort, cohort=cohort, progress=view.fitted
        )
    console = Console(width=None if Console().is_terminal else 150)
    console.print(analysis.console_table(found))
    for sentence in analysis.verdict(found):
        typer.echo(sentence)
    typer.echo(f"* taken by the criterion; written: {out}/select_k.png, select_k.json, select_k.csv")
