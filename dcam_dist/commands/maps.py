"""``maps``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import IDENTIFIED, MovedCohort


def maps(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    case: Annotated[
        list[str] | None,
        typer.Option("--case", help="A case id, the cohort's or yours; repeat it. Without: typical cases."),
    ] = None,
    cohort: MovedCohort = None,
    source_dicom: Annotated[
        Path | None,
        typer.Option(
            "--source-dicom",
            help="The DICOM slices of the one --case: write DICOM objects too. They identify the patient.",
        ),
    ] = None,
    ome_zarr: Annotated[
        bool, typer.Option("--ome-zarr", help="Write the winning class into the cohort's OME-Zarr too, as a label.")
    ] = False,
) -> None:
    """Write dense clustering activation maps: NIfTI in the scan's own space, overlays, and the figure."""
    from dcam_dist.maps import write_maps

    summary = write_maps(run, case_ids=case or (), cohort=cohort, source_dicom=source_dicom, ome_zarr=ome_zarr)
    typer.echo(f"{len(summary.files)} files under {run / 'maps'}")
    if summary.figure is not None:
        typer.echo(f"figure: {summary.figure}")
    if summary.identified is not None:
        typer.echo(f"{summary.identified}: {IDENTIFIED}")
    if summary.labels:
        typer.echo(f"labels in the cohort: {len(summary.labels)}, named {summary.labels[0].name}")
