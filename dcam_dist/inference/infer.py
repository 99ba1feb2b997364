"""``infer``: new scans through a trained model, from their files to maps, numbers and warnings."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from dcam_dist.config import Config, load_config
from dcam_dist.config.schema import IngestConfig
from dcam_dist.distributed import ProcessContext, open_processes, share_notes
from dcam_dist.errors import UsageError
from dcam_dist.inference.answer import Answer, about_model
from dcam_dist.inference.one_scan import Desk, answer_scan, write_answer
from dcam_dist.inference.open_model import open_model
from dcam_dist.inference.place import Work, check_place, name_work, only_call, open_place
from dcam_dist.inference.reconstructions import find_pairs, with_reconstructions
from dcam_dist.inference.summary import InferSummary, write_summary
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.one_case import hushed, private_umask, run_case
from dcam_dist.ingest.run import in_order
from dcam_dist.ingest.scan_source import ScanSource
from dcam_dist.ingest.search import Looked
from dcam_dist.ingest.sources import find_scans
from dcam_dist.maps import dicom
from dcam_dist.training.together import on_main, same_on_all_ranks, together
from dcam_dist.types import QuarantineEntry

_OF_NO_EFFECT = {"test_fraction", "workers", "memory_limit_gb"}
"""Settings of ingest that say how a cohort is split and shared out, and nothing of a scan."""
LONGEST_SCAN_S = 3600
"""How long ranks wait for each other, while one of them may have a large scan."""

Progress = Callable[[int, int, int], None]
Outcome = Answer | QuarantineEntry


def infer(
    sources: Sequence[Path | str],
    out: Path | str,
    model: Path | str,
    *,
    settings: Sequence[str] = (),
    hash_ids: bool = False,
    assume_hu: bool = False,
    view: bool = False,
    source_dicom: Path | None = None,
    progress: Progress | None = None,
    looked: Looked | None = None,
    told: Callable[[InferSummary], None] | None = None,
) -> InferSummary:
    """Put scans through a trained model; no cohort is written.

    Under a launcher each rank takes every n-th scan. Called again with the same scans it goes on where it was
    interrupted.

    Args:
        sources: Folder trees with DICOM or image files, single files, or ``cases.csv`` tables, as for ``ingest``.
        out: A folder; gets one a scan, ``summary.csv`` and ``quarantine.json``.
        model: A finished run or a bundle.
        settings: Settings of the section ``ingest``, as ``ingest.key=value``.
        hash_ids: Replace given case ids by keyed hashes.
        assume_hu: Take DICOM without rescale tags for HU.
        view: Write ``view.html`` into each folder, a page with the 3D viewer.
        source_dicom: Folder with the DICOM slices of the one scan: its maps are written as DICOM objects too, which
            identify the patient.
        progress: Called on rank 0, at the start and as scans are done, with those done, all, and those set aside.
        looked: Called on rank 0 with the files found and read, while scans are searched for.
        told: Called on rank 0 with the outcome, while the others wait; where it raises they end with its exit code.

    Returns:
        Answers and scans set aside; the same on every rank.

    Raises:
        UsageError: No model, no such source, an ``out`` that holds something else or lies within a source, a wrong
            setting, or DICOM for more or fewer than one scan.
        DataError: A damaged model, no scan found, a malformed table, or two scans of one id.
        EnvironmentFault: The files cannot be written, or another call is writing them.
    """
    if source_dicom is not None:
        dicom.check_highdicom()
    bundle, folder, paths = open_model(model), Path(out), [Path(source) for source in sources]
    config, about = _with_settings(bundle.model.config, settings), about_model(bundle)
    with hushed(), private_umask(), open_processes(LONGEST_SCAN_S) as context, ExitStack() as held:
        on_main(lambda: held.enter_context(only_call(folder)), context)
        on_main(partial(check_place, folder, about, paths), context)
        scans = together(partial(_found, paths, _if_main(looked, context), alone=source_dicom is not None), context)
        on_main(partial(open_place, folder, about), context)
        work = _named(folder, scans, hash_ids, context)
        bundle.model.network.to(context.device)
        desk = Desk(bundle, about, config, assume_hu, folder, view, source_dicom)
        outcomes = _answer_all(desk, work, context, _if_main(progress, context))
        summary = _summary_of(desk, outcomes, work)
        on_main(partial(_close, summary, told), context)
    return summary


def _with_settings(config: Config, settings: Sequence[str]) -> Config:
    """The model's settings of ingest, and those of this machine's call over them."""
    if other := next((one for one in settings if not one.startswith("ingest.")), None):
        raise UsageError(f"{other:.100}: settings are ingest.key=value here; all others are the model's")
    if other := next((one for one in settings if one.split("=")[0].removeprefix("ingest.") in _OF_NO_EFFECT), None):
        count = sorted(IngestConfig.model_fields.keys() - _OF_NO_EFFECT)
        raise UsageError(f"{other:.100}: has no effect here; these have, with ingest. before them: {', '.join(count)}")
    kept = [f"ingest.{name}={getattr(config.ingest, name)}".lower() for name in ("resample_tilt", "allow_cut_lungs")]
    return config.model_copy(update={"ingest": load_config(None, [*kept, *settings]).ingest})


def _found(paths: Sequence[Path], looked: Looked | None, *, alone: bool) -> tuple[ScanSource, ...]:
    scans = find_scans(paths, None, looked)
    if alone and len(scans) != 1:
        raise UsageError(f"--source-dicom is the folder of one scan, and {len(scans)} are named; name one alone")
    return scans


def _named(folder: Path, scans: Sequence[ScanSource], hash_ids: bool, context: ProcessContext) -> Work:
    """Rank 0 makes the key of the ids, and the others read it."""
    name = partial(name_work, folder, scans, hash_ids=hash_ids)
    found: list[Work] = []
    on_main(lambda: found.append(name(save=True)), context)
    work = found[0] if found else together(partial(name, save=False), context)
    if found:
        together(lambda: None, context)
    same_on_all_ranks(work.case_ids, "scans: they must all see the same files", context)
    return work


def _answer_all(desk: Desk, work: Work, context: ProcessContext, progress: Progress | None) -> list[Outcome]:
    """Every scan, each on one rank; after each round all know what became of all."""
    outcomes: list[Outcome] = list(work.aside)
    total, ranks = len(work.case_ids), context.world_size
    for start in range(0, len(work.jobs) + (not work.jobs), ranks):
        if progress is not None:
            progress(len(outcomes), total, _aside_of(outcomes))
        mine = work.jobs[start : start + ranks][context.rank : context.rank + 1]
        done = together(partial(_answer_some, desk, mine), context)
        shared = share_notes({outcome.case_id: _to_note(outcome) for outcome in done}, context)
        outcomes += [_from_note(note) for note in shared.values()]
    if progress is not None:
        progress(len(outcomes), total, _aside_of(outcomes))
    return outcomes


def _answer_some(desk: Desk, jobs: Sequence[CaseJob]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for job in jobs:
        outcome = run_case(partial(answer_scan, desk), job, job.case_id)
        if isinstance(outcome, QuarantineEntry):
            shutil.rmtree(desk.out / job.case_id, ignore_errors=True)  # of an earlier call, or half written
        outcomes.append(outcome)
    return outcomes


def _summary_of(desk: Desk, outcomes: Sequence[Outcome], work: Work) -> InferSummary:
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    aside = [outcome for outcome in outcomes if isinstance(outcome, QuarantineEntry)]
    pairs = find_pairs(answers, work.acquisitions)
    compared = with_reconstructions(answers, pairs)
    return InferSummary(desk.out, desk.bundle, compared, in_order(aside), pairs)


def _close(summary: InferSummary, told: Callable[[InferSummary], None] | None) -> None:
    for answer in summary.answers:  # by now it is known what other reconstructions are told
        write_answer(summary.out, answer)
    write_summary(summary)
    if told is not None:
        told(summary)


def _to_note(outcome: Outcome) -> str:
    if isinstance(outcome, Answer):
        return json.dumps({"answer": outcome.tree})
    return json.dumps({"aside": [outcome.case_id, outcome.reason, outcome.detail, outcome.also]})


def _from_note(note: str) -> Outcome:
    tree = json.loads(note)
    if "answer" in tree:
        return Answer(tree["answer"])
    case_id, reason, detail, also = tree["aside"]
    return QuarantineEntry(case_id, reason, detail, tuple(also))


def _aside_of(outcomes: Sequence[Outcome]) -> int:
    return sum(isinstance(outcome, QuarantineEntry) for outcome in outcomes)


def _if_main(told: Callable[..., None] | None, context: ProcessContext) -> Callable[..., None] | None:
    return told if context.is_main else None
