"""``ingest``."""

from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import ConfigFile


def ingest(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [KEY=VALUE]...", help="DICOM folder trees, image files, or a cases.csv; then settings."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The cohort to write, COHORT.zarr.")],
    config: ConfigFile = None,
    hash_ids: Annotated[bool, typer.Option("--hash-ids", help="Hash the case ids of the table.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if any case is set aside.")] = False,
    assume_hu: Annotated[bool, typer.Option("--assume-hu", help="Take DICOM without rescale tags as HU.")] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="Use the workers of a running Dask cluster, tls://HOST:PORT."
        ),
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option("--slurm", metavar="SITE.yaml", help="Use workers in Slurm jobs; see configs/sites/.")
    ] = None,
) -> None:
    """Read scans, find the lungs, resample to the training grid, store as a Zarr cohort.

    Case ids of a table are kept as they are and must be pseudonymous already; --hash-ids hashes them. A bad case is
    set aside with a reason code and the others go on. Run it again to go on after an interruption.
    """
    from dcam_dist.commands.ingest_progress import shown_progress
    from dcam_dist.config import load_config
    from dcam_dist.errors import DataError
    from dcam_dist.ingest import ingest as ingest_scans
    from dcam_dist.ingest.quality import PAGE

    settings = [source for source in sources if "=" in source and not Path(source).exists()]
    paths = [Path(source) for source in sources if source not in settings]
    loaded = load_config(config, settings)
    with shown_progress() as view:
        summary = ingest_scans(
            paths,
            out,
            config=loaded,
            hash_ids=hash_ids,
            strict=strict,
            assume_hu=assume_hu,
            scheduler=scheduler,
            slurm=slurm,
            progress=view.cases,
            looked=view.looked,
        )
    for entry in summary.quarantined:
        also = f" (also: {', '.join(entry.also)})" if entry.also else ""
        typer.echo(f"set aside {entry.case_id}: {entry.reason}: {entry.detail}{also}")
    aside = len(summary.quarantined)
    typer.echo(f"accepted: {summary.accepted}, set aside: {aside}, in {out}")
    typer.echo(f"look at them: {out / PAGE}")
    if not summary.accepted:
        raise DataError(f"{out}: no case was accepted; the reasons are above")
    if summary.exit_code:
        raise DataError(f"{out}: {aside} of {summary.accepted + aside} cases set aside, and --strict allows none")
