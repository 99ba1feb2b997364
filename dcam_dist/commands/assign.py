"""``assign``."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def assign(
    source: Annotated[Path, typer.Argument(metavar="ARTEFACT|RUN", help="A saved clustering, or a finished run.")],
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="A feature file of as many channels.")],
    out: Annotated[Path, typer.Option("--out", help="The table: a line a row.")],
    backend: Annotated[
        Literal["auto", "sklearn", "torch", "cuml"],
        typer.Option("--backend", help="What computes; the labels are the same."),
    ] = "auto",
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda:N; without: the GPU, if any.")] = None,
    level: Annotated[
        float, typer.Option("--level", help="Share of usual rows that are flagged as outliers all the same.")
    ] = 0.01,
) -> None:
    """Assign new rows to the clusters of a saved clustering or a run, and flag rows that it was not made for."""
    from dcam_dist import analysis

    done = analysis.assign(source, features, out, backend=backend, device=device, level=level)
    if done.is_main:
        for line in done.lines():
            typer.echo(line)
        typer.echo(f"written: {out}")
