"""``submit``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dcam_dist.commands.options import ConfigFile
from dcam_dist.hpc.job import JobName

PIPELINE: tuple[JobName, ...] = ("ingest", "train", "evaluate", "maps", "report")


def submit(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. data.cohort=C.zarr output=RUN.")
    ] = None,
    config: ConfigFile = None,
    site: Annotated[
        Path | None, typer.Option("--site", help="Site file; the shipped ones are in configs/sites/.")
    ] = None,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Ingest (with --scans), train, evaluate, maps and report in their order.")
    ] = False,
    job: Annotated[
        Literal["ingest", "train", "evaluate", "maps", "report", "benchmarks"] | None,
        typer.Option("--job", help="The one job to submit; without: train."),
    ] = None,
    scans: Annotated[
        list[Path] | None, typer.Option("--scans", help="DICOM folders, image files or a cases.csv. Repeat.")
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, help="Nodes of the training.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=0, help="GPUs of each; without: the site's.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="[D-]HH:MM:SS", help="Of the training; without: the site's.")
    ] = None,
    array: Annotated[int, typer.Option("--array", min=0, help="Tasks among which the ingest is divided.")] = 0,
    hash_ids: Annotated[bool, typer.Option("--hash-ids", help="As for ingest.")] = False,
    assume_hu: Annotated[bool, typer.Option("--assume-hu", help="As for ingest.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the scripts whole; nothing is written.")] = False,
) -> None:
    """Submit a training, or the whole study, as batch jobs: requeued until done, told to leave before the time is over.

    A job of exit code 75 goes back into the queue. Logs, scripts and records are in RUN/jobs; dcam-dist status RUN.
    """
    from dcam_dist.config import load_config
    from dcam_dist.config.site import check_walltime, load_site
    from dcam_dist.errors import UsageError
    from dcam_dist.hpc.pipeline import StudyRequest, refuse_missing, study
    from dcam_dist.hpc.script import render
    from dcam_dist.hpc.submit import command, submit_jobs

    place = load_site(site)
    loaded = load_config(config, [*place.settings, *(settings or [])])
    if time is not None:
        check_walltime(time)
    if pipeline and job is not None:
        raise UsageError("--pipeline and --job exclude each other")
    options = tuple(name for name, given in {"--hash-ids": hash_ids, "--assume-hu": assume_hu}.items() if given)
    request = StudyRequest(loaded, config, tuple(settings or ()), tuple(scans or ()), nodes, gpus, time, array, options)
    kinds = [kind for kind in PIPELINE if kind != "ingest" or scans] if pipeline else [job or "train"]
    jobs = study(request, place, kinds)
    if dry_run:
        for number, one in enumerate(jobs):
            after = [f"ID_OF_{jobs[number - 1].name}"] if number else []
            heading = f"# ==== {one.name}: {' '.join(command(one, after))} ====\n" if len(jobs) > 1 else ""
            typer.echo(f"{heading}{render(one, place)}")
        return
    refuse_missing(request, kinds)
    for record in submit_jobs(jobs, place):
        waits = f" after {', '.join(record.after)}" if record.after else ""
        typer.echo(f"{record.name}: job {record.job_id}{waits}; log {record.log}")
    typer.echo(f"results: {jobs[-1].folder.parent}; how they stand: dcam-dist status {jobs[-1].folder.parent}")
