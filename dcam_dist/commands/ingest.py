"""``ingest``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcam_dist.commands.options import ConfigFile

if TYPE_CHECKING:
    from dcam_dist.config import Config
    from dcam_dist.ingest import IngestSummary
    from dcam_dist.types import QuarantineEntry


PartOption = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="I/N",
        help="Do the I-th of N parts, as one task of a job array; at the end, once, the same without --part.",
    ),
]


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
    part: PartOption = None,
) -> None:
    """Read scans, find the lungs, resample to the training grid, store as a Zarr cohort.

    Case ids of a table are kept as they are and must be pseudonymous already; --hash-ids hashes them. A bad case is
    set aside with a reason code and the others go on. Run it again to go on after an interruption.

    N calls with --part, on different nodes, may write one cohort at the same time: in a Slurm array of 1-N, each with
    --part $SLURM_ARRAY_TASK_ID/N. When they have ended, the same command without --part seals the cohort.
    """
    from dcam_dist.commands.ingest_progress import shown_progress
    from dcam_dist.config import load_config
    from dcam_dist.ingest import ingest as ingest_scans

    settings = [source for source in sources if "=" in source and not Path(source).exists()]
    paths = [Path(source) for source in sources if source not in settings]
    loaded = load_config(config, settings)
    if part is not None:
        _only_without_part({"--scheduler": scheduler, "--slurm": slurm, "--strict": strict})
        _ingest_part(part, paths, out, loaded, hash_ids=hash_ids, assume_hu=assume_hu)
        return
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
    _tell_end(summary)


def _tell_end(summary: "IngestSummary") -> None:
    from dcam_dist.errors import DataError
    from dcam_dist.ingest.quality import PAGE

    tell_aside(summary.quarantined)
    aside, out = len(summary.quarantined), summary.cohort
    typer.echo(f"accepted: {summary.accepted}, set aside: {aside}, in {out}")
    typer.echo(f"look at them: {out / PAGE}")
    if not summary.accepted:
        raise DataError(f"{out}: no case was accepted; the reasons are above")
    if summary.exit_code:
        raise DataError(f"{out}: {aside} of {summary.accepted + aside} cases set aside, and --strict allows none")


def _only_without_part(options: Mapping[str, object]) -> None:
    from dcam_dist.errors import UsageError

    remedies = {"--strict": "give it to the last call, the one without --part"}
    for name, value in options.items():
        if value:
            raise UsageError(f"--part excludes {name}: {remedies.get(name, 'a part uses the cores of its own node')}")


def _ingest_part(text: str, paths: list[Path], out: Path, config: "Config", *, hash_ids: bool, assume_hu: bool) -> None:
    from dcam_dist.commands.ingest_progress import shown_progress
    from dcam_dist.ingest import Part, ingest_part

    part = Part.parse(text)
    with shown_progress() as view:
        summary = ingest_part(
            paths,
            out,
            part,
            config=config,
            hash_ids=hash_ids,
            assume_hu=assume_hu,
            progress=view.cases,
            looked=view.looked,
        )
    tell_aside(summary.quarantined)
    aside = len(summary.quarantined)
    done = f"{summary.accepted + aside} of {summary.scans} cases"
    typer.echo(f"part {part}: {done}, accepted: {summary.accepted}, set aside for now: {aside}, in {out}")
    typer.echo("not sealed yet: when all parts have ended, run the same command without --part")


def tell_aside(entries: "Sequence[QuarantineEntry]") -> None:
    """Print cases that are set aside, a line each."""
    for entry in entries:
        also = f" (also: {', '.join(entry.also)})" if entry.also else ""
        typer.echo(f"set aside {entry.case_id}: {entry.reason}: {entry.detail}{also}")
