"""``train``."""

from typing import Annotated

import typer

from dcam_dist.commands.options import ConfigFile


def train(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. data.cohort=C.zarr output=RUN.")
    ] = None,
    config: ConfigFile = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; a run that output=RUN holds is moved aside to RUN.old-1.")
    ] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--change", metavar="KEY", help="A setting that may change, given as KEY=VALUE besides. Repeat."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="One step: shapes and memory, no files.")] = False,
) -> None:
    """Train: dcam, baseline or supervised (method=…). Alone, or under dcam_dist.launch, torchrun, srun or deepspeed.

    Goes on from the last checkpoint of output=RUN; give the same settings, what has changed is refused unless named.
    To have it saved and left with exit code 75: touch RUN/stop, SIGTERM, SIGUSR1, or a time limit.
    """
    from dcam_dist.config import load_config

    loaded = load_config(config, settings or [])  # before torch: a typing error is told at once
    from dcam_dist import training

    if dry_run:
        step = training.dry_run(loaded)
        if step.is_main:
            typer.echo(f"volumes of this rank {list(step.volume_shape)}, {step.parameters:,} parameters")
            typer.echo(
                f"loss {step.loss:.4f} (sum), peak memory {step.peak_memory_bytes / 2**30:.2f} GiB; nothing written"
            )
        return
    from dcam_dist.commands.train_progress import shown_training

    with shown_training(loaded) as progress:
        summary = training.train(loaded, fresh=fresh, changes=change or (), progress=progress)
    if summary.is_main:
        typer.echo(f"{summary.epochs} epochs done: {summary.run}; next: dcam-dist evaluate {summary.run}")
