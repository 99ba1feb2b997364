"""``doctor``."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcam_dist.hpc.doctor import Line


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects instead of the table.")] = False,
) -> None:
    """Is this machine fit for the work? Versions, GPUs, limits, disk, scheduler, network, each with a remedy.

    Exit code 4 where anything fails. Writes nothing but files that vanish at once.
    """
    import json
    from dataclasses import asdict

    from dcam_dist.errors import EnvironmentFault
    from dcam_dist.hpc.doctor import examine, failed

    lines = examine()
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print_table(lines)
    if names := failed(lines):
        raise EnvironmentFault(f"this machine is not fit for the work: {', '.join(names)}; what to do is said above")


def _print_table(lines: "Sequence[Line]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("state", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(line.state.value, *(Text(text) for text in (line.name, line.found, line.remedy)))
    Console(width=None if Console().is_terminal else 160, highlight=False).print(table)
