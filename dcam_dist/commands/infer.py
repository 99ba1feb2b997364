"""``infer``."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcam_dist.commands.ingest import tell_aside
from dcam_dist.commands.options import IDENTIFIED

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcam_dist.inference import InferSummary

MOST_ROWS = 40


def infer(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SCAN... [ingest.KEY=VALUE]...",
            help="DICOM folders or trees of them, image files, or a cases.csv; then settings of ingest.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder; gets one a scan, and summary.csv.")],
    model: Annotated[
        Path | None, typer.Option("--model", metavar="RUN|BUNDLE", help="A finished run, or what export made of one.")
    ] = None,
    hash_ids: Annotated[bool, typer.Option("--hash-ids", help="Hash the case ids of the table.")] = False,
    assume_hu: Annotated[bool, typer.Option("--assume-hu", help="Take DICOM without rescale tags as HU.")] = False,
    view: Annotated[
        bool, typer.Option("--view", help="Write view.html beside the maps: CT and maps in 3D, in any browser.")
    ] = False,
    source_dicom: Annotated[
        Path | None,
        typer.Option(
            "--source-dicom",
            help="The DICOM slices of the one scan: write DICOM objects too. They identify the patient.",
        ),
    ] = None,
) -> None:
    """Put new scans through a trained model: maps in each scan's own space, its cluster, densitometry and warnings.

    Case ids are keyed hashes where no table gives them; which scan is which is in OUT.private.json. A scan that cannot
    be used is set aside with a reason code and the others go on; the exit code is 3 only if none worked. Run it again
    to go on after an interruption. Under torchrun each rank takes every n-th scan. For research only.
    """
    from dcam_dist.errors import UsageError

    if model is None:
        raise UsageError("infer needs a model: give a finished run or a bundle with --model RUN|BUNDLE")
    from dcam_dist.inference import infer as infer_scans
    from dcam_dist.launchers import read_launch

    settings = [source for source in sources if "=" in source and not Path(source).exists()]
    paths = [source for source in sources if source not in settings]
    call = partial(
        infer_scans,
        paths,
        out,
        model,
        settings=settings,
        hash_ids=hash_ids,
        assume_hu=assume_hu,
        view=view,
        source_dicom=source_dicom,
    )
    if read_launch().rank:
        call()
    else:
        _with_progress(call, with_objects=source_dicom is not None)


def _with_progress(call: "Callable[..., InferSummary]", *, with_objects: bool) -> None:
    from dcam_dist.commands.ingest_progress import shown_progress

    with ExitStack() as showing:
        shown = showing.enter_context(shown_progress("infer"))

        def told(summary: "InferSummary") -> None:
            showing.close()
            _tell(summary, with_objects=with_objects)

        call(progress=shown.cases, looked=shown.looked, told=told)


def _tell(summary: "InferSummary", *, with_objects: bool) -> None:
    from dcam_dist.errors import DataError
    from dcam_dist.inference.place import SUMMARY
    from dcam_dist.maps.dicom import FOLDER

    tell_aside(summary.quarantined)
    if not summary.answers:
        raise DataError(f"{summary.out}: no scan could be used; the reasons are above")
    _show(summary)
    for answer in summary.answers[:MOST_ROWS]:
        for warning in answer.tree["warnings"]:
            typer.echo(f"{answer.case_id}: {warning}")
    for note in summary.notes():
        typer.echo(f"note: {note}")
    for pair in summary.disagreements:
        typer.echo(f"RECONSTRUCTIONS DISAGREE: {pair}")
    typer.echo(f"answers: {len(summary.answers)}, set aside: {len(summary.quarantined)}, in {summary.out / SUMMARY}")
    typer.echo("for research only; not a medical device")
    if with_objects:
        place = summary.out / summary.answers[0].case_id / FOLDER
        typer.echo(f"{place}: {IDENTIFIED}")


def _show(summary: "InferSummary") -> None:
    from rich.console import Console
    from rich.table import Table

    from dcam_dist.inference.words import FIELDS

    table = Table()
    kind = summary.answers[0].kind
    table.add_column("case", no_wrap=True)
    for title in (kind, "by the head", "p", *(f"{field.title} {field.unit}" for field in FIELDS.values())):
        table.add_column(title, justify="right")
    for title in ("kernel", "warnings"):
        table.add_column(title)
    for answer in summary.answers[:MOST_ROWS]:
        p_value = answer.tree["p_value"]
        measured = (
            field.number(answer.densitometry[name]) if name in answer.densitometry else ""
            for name, field in FIELDS.items()
        )
        known = "" if p_value is None else f"{p_value:.2g}"
        numbers = (str(answer.number), str(answer.head_number), known, *measured, answer.kernel)
        table.add_row(answer.case_id, *numbers, str(len(answer.tree["warnings"]) or ""))
    Console(width=150).print(table)
    if (more := len(summary.answers) - MOST_ROWS) > 0:
        typer.echo(f"and {more} more")
