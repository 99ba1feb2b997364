"""``phantom``."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def phantom(
    out: Annotated[Path, typer.Argument(help="New folder for the scans, masks and cases.csv.")],
    cases: Annotated[int, typer.Option(help="Number of cases.")] = 24,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    format: Annotated[Literal["dicom", "nifti"], typer.Option(help="How scans are written.")] = "dicom",
) -> None:
    """Generate a cohort of synthetic chest CTs with lung masks, lesion masks and grades."""
    from dcam_dist.phantom import write_phantom_cohort

    table = write_phantom_cohort(out, cases=cases, seed=seed, format=format)
    typer.echo(f"{cases} cases written; next: dcam-dist ingest {table} --out {out.with_suffix('.zarr')}")
