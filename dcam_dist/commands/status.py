"""``status``."""

from pathlib import Path
from typing import Annotated

import typer


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, for scripts.")] = False,
) -> None:
    """How a training stands: progress, rate, time left, checkpoint, jobs, what to do next. Reads files only.

    Works on every node that sees the directory: before the first start, while it trains, and after it has died.
    """
    from dcam_dist.hpc.status import run_status

    found = run_status(run)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(found), indent=1))
        return
    from dcam_dist.commands.status_text import print_status

    print_status(found)
