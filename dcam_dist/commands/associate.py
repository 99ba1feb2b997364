"""``associate``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import MovedCohort

Names = list[str] | None


def associate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    table: Annotated[Path | None, typer.Option("--table", help="CSV with a row a case.")] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help="Its column of case or patient ids; without: case_id, patient_id.")
    ] = None,
    adjust: Annotated[
        Names, typer.Option("--adjust", help="Covariates of the models: age,sex or again and again.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Column of the time under observation.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="Column of whether it ended with the event.")] = None,
    numeric: Annotated[Names, typer.Option("--numeric", help="Take a column as numbers.")] = None,
    categorical: Annotated[Names, typer.Option("--categorical", help="Take a column as categories.")] = None,
    leave_out: Annotated[Names, typer.Option("--leave-out", help="Do not look at a column.")] = None,
    cohort: MovedCohort = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; without: RUN/association.")] = None,
) -> None:
    """Compare the clusters of a run in clinical variables, covariates and densitometry; adjusted, and in survival."""
    from dcam_dist.evaluation.association.associate import associate as compare
    from dcam_dist.evaluation.association.gather import Asked

    asked = Asked(
        adjust=tuple(adjust or ()),
        time=time,
        event=event,
        numeric=tuple(numeric or ()),
        categorical=tuple(categorical or ()),
        leave_out=tuple(leave_out or ()),
    )
    done = compare(run, table=table, id_column=id_column, asked=asked, cohort=cohort, out=out)
    for line in done.lines():
        typer.echo(line)
    typer.echo("written: " + ", ".join(str(file) for file in done.files))
