"""``demo``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import ConfigFile


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path("demo"),
    processes: Annotated[int, typer.Option("--processes", help="Ranks that train.")] = 2,
    config: ConfigFile = None,
) -> None:
    """Do all of it on a small synthetic cohort: generate, ingest, train both methods, compare, draw the maps."""
    from dcam_dist.demo import run_demo

    run_demo(out, processes=processes, config_file=config, say=typer.echo)
