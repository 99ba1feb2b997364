"""The command line: one verb each, a thin wrapper of the public function of the same name.

Heavy imports happen inside the verb, so that ``--help`` and shell completion answer at once.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="dcam-dist",
    help="Unsupervised emphysema subtyping from chest CT with deep clustering activation maps.",
    epilog="Exit codes: 0 done, 2 usage or configuration, 3 data, 4 environment. --debug shows tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PROGRESS_S = 15.0

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML configuration; the shipped ones are in configs/.")
]
MovedCohort = Annotated[Path | None, typer.Option("--cohort", help="Where the cohort is now, if it has moved.")]


def _show_version(wanted: bool) -> None:
    from dcam_dist import __version__

    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("dcam_dist").setLevel(logging.INFO)


@app.command()
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


@app.command()
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
        typer.echo(f"set aside {entry.case_id}: {entry.reason}: {entry.detail}")
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


@app.command()
def train(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, e.g. data.cohort=C.zarr output=RUN.")
    ] = None,
    config: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="One step: shapes and memory, no files.")] = False,
) -> None:
    """Train: dcam, baseline or supervised (method=…). Start it alone, or on several processes under torchrun.

    Goes on from the last checkpoint of output=RUN.
    """
    from dcam_dist.config import load_config

    loaded = load_config(config, settings or [])  # before torch: a typing error is told at once
    from dcam_dist import training

    if dry_run:
        step = training.dry_run(loaded)
        if step.is_main:
            typer.echo(f"volumes of this rank {list(step.volume_shape)}, {step.parameters:,} parameters")
            typer.echo(
                f"loss {step.loss:.4f} (sum), peak memory {step.peak_memory_bytes / 2**30:.2f} GiB; nothing written"
            )
        return
    summary = training.train(loaded)
    if summary.is_main:
        typer.echo(f"{summary.epochs} epochs done: {summary.run}; next: dcam-dist evaluate {summary.run}")


@app.command()
def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs; several give one comparison.")],
    cohort: MovedCohort = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the comparison of all runs.")] = None,
) -> None:
    """Score runs on train and test: the paper's Table 1 beside nulls, intervals and honest baselines."""
    from rich.console import Console

    from dcam_dist import evaluation

    result = evaluation.evaluate(runs, cohort=cohort, out=out)
    if result.is_main:
        console = Console(width=None if Console().is_terminal else 150)
        for split in ("train", "test"):
            evaluation.render_console(result.methods, split, console)
        typer.echo("written: " + ", ".join(str(file) for file in result.files))


@app.command()
def maps(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    case: Annotated[
        list[str] | None, typer.Option("--case", help="Case id; repeat it. Without: typical cases.")
    ] = None,
    cohort: MovedCohort = None,
) -> None:
    """Write dense clustering activation maps: NIfTI in the scan's own space, overlays, and the figure."""
    from dcam_dist.maps import write_maps

    summary = write_maps(run, case_ids=case or (), cohort=cohort)
    typer.echo(f"{len(summary.files)} files under {run / 'maps'}")
    if summary.figure is not None:
        typer.echo(f"figure: {summary.figure}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path("demo"),
    processes: Annotated[int, typer.Option("--processes", help="Ranks that train.")] = 2,
    config: ConfigFile = None,
) -> None:
    """Do all of it on a small synthetic cohort: generate, ingest, train both methods, compare, draw the maps."""
    from dcam_dist.demo import run_demo

    run_demo(out, processes=processes, config_file=config, say=typer.echo)
