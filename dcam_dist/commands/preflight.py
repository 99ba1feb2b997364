"""``preflight``."""

from pathlib import Path
from typing import Annotated

import typer


def preflight(
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="How many nodes must come.")],
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs that each must see; 0: CPUs.")],
    meet: Annotated[
        str | None, typer.Option("--meet", metavar="HOST:PORT", help="An address of the first node, and a free port.")
    ] = None,
    cohort: Annotated[Path | None, typer.Option("--cohort", help="The cohort that all nodes must read.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="RUN", help="The run's directory, which all must write.")
    ] = None,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, help="Seconds that the first node waits for the others; they wait 45 s for it."),
    ] = 180.0,
) -> None:
    """Before a batch job's work, once a node: nodes, GPUs, meeting place, cohort, output, clocks, versions.

    On several nodes: srun --ntasks-per-node=1 dcam-dist preflight ... It ends with 0 on all nodes, or with 4 on
    all and a line for each thing that is wrong; within a minute where the first node cannot be reached. It leaves
    nothing behind.
    """
    from dcam_dist.errors import EnvironmentFault, FailedElsewhere, tell
    from dcam_dist.hpc.preflight import Wanted, parse_place
    from dcam_dist.hpc.preflight import preflight as look

    found = look(Wanted(nodes, gpus, parse_place(meet) if meet else None, cohort, output, wait))
    if not found.speaks:
        if found.faults:
            raise FailedElsewhere(EnvironmentFault.exit_code)
        return
    for line in (*found.warnings, *found.faults[:-1]):
        tell(line)
    if found.faults:
        raise EnvironmentFault(found.faults[-1])
    typer.echo(found.summary)
