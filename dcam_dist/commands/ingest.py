"""``ingest``."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from dcam_dist.commands.options import ConfigFile

PROGRESS_S = 15.0


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
) -> None:
    """Read scans, find the lungs, resample to the training grid, store as a Zarr cohort.

    Case ids of a table are kept as they are and must be pseudonymous already; --hash-ids hashes them. A bad case is
    set aside with a reason code and the others go on.
    """
    from dcam_dist.config import load_config
    from dcam_dist.errors import DataError
    from dcam_dist.ingest import ingest as ingest_scans

    settings = [source for source in sources if "=" in source and not Path(source).exists()]
    paths = [Path(source) for source in sources if source not in settings]
    summary = ingest_scans(
        paths,
        out,
        config=load_config(config, settings),
        hash_ids=hash_ids,
        strict=strict,
        assume_hu=assume_hu,
        progress=_progress_lines(),
    )
    for entry in summary.quarantined:
        also = f" (also: {', '.join(entry.also)})" if entry.also else ""
        typer.echo(f"set aside {entry.case_id}: {entry.reason}: {entry.detail}{also}")
    aside = len(summary.quarantined)
    typer.echo(f"{summary.accepted} cases accepted, {aside} set aside: {out}")
    if not summary.accepted:
        raise DataError(f"{out}: no case was accepted; the reasons are above")
    if summary.exit_code:
        raise DataError(f"{out}: {aside} of {summary.accepted + aside} cases set aside, and --strict allows none")


def _progress_lines() -> Callable[[int, int, int], None]:
    """A line now and then: a batch log must be neither silent nor full of bars."""
    started = last = time.monotonic()

    def show(done: int, total: int, set_aside: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_S:
            last, left = now, (now - started) / done * (total - done)
            typer.echo(f"{done} of {total} cases, {set_aside} set aside, about {left / 60:.0f} min left", err=True)

    return show
