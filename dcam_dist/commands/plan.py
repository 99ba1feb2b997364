"""``plan``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dcam_dist.commands.options import ConfigFile

HERE = "here"


def plan(
    config: ConfigFile = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. training.batch_size=8.")
    ] = None,
    gpu: Annotated[
        Literal["a100-40", "a100-80", "h100", "24gb", "here"],
        typer.Option("--gpu", help="The card; here: this machine, of which a few steps are timed (20 s)."),
    ] = "a100-40",
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Their number.")] = 1,
    cases: Annotated[int | None, typer.Option("--cases", min=1, help="Training cases; without: the cohort's.")] = None,
    cohort: Annotated[Path | None, typer.Option("--cohort", help="A cohort, for its grid, cases and size.")] = None,
) -> None:
    """Before you pay: a step's memory by part and policy, what fits, time and disk of a training. Writes no file."""
    from rich.console import Console
    from rich.table import Table

    from dcam_dist.config import load_config
    from dcam_dist.errors import UsageError

    loaded = load_config(config, settings or [])
    from dcam_dist import planning

    opened = None
    if cohort is not None:
        from dcam_dist.cohort import open_cohort

        opened = open_cohort(cohort)
        loaded = loaded.model_copy(update={"grid": opened.description.grid})
    if cases is None and opened is None:
        raise UsageError("say how many cases with --cases, or name a --cohort")
    count = cases if cases is not None or opened is None else len(opened.split("train"))
    card = planning.this_machine() if gpu == HERE else planning.GPUS[gpu]
    loaded = planning.with_precision(loaded, card, here=gpu == HERE)
    share = planning.share_of(loaded, gpus)
    pace = planning.measured_pace(loaded, share) if gpu == HERE else planning.known_pace(card, loaded)
    disk = None if opened is None else planning.disk_of(opened.path, len(opened.cases))
    made = planning.make_plan(loaded, card, gpus, count or 1, pace, disk)
    shape = "×".join(map(str, loaded.data.patch or loaded.grid.shape))
    table = Table(title=f"{card.name}: a step of {made.share} × {shape} in {loaded.network.precision}, GiB")
    for heading in ("checkpointing", "peak", *planning.PARTS, ""):
        table.add_column(heading, justify="left" if heading in ("checkpointing", "") else "right")
    for row in planning.memory_rows(made):
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 150).print(table)
    for sentence in planning.sentences(made, loaded):
        typer.echo(sentence)
