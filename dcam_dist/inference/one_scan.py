"""One scan: read, lungs, training grid, network, maps; in memory until its own files are written."""

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from dcam_dist import __version__
from dcam_dist.cohort.layout import read_json, write_json
from dcam_dist.cohort.stream import windowed
from dcam_dist.config import Config
from dcam_dist.errors import CaseRejected, DataError, EnvironmentFault, Reason
from dcam_dist.inference.answer import Answer, answer_of
from dcam_dist.inference.judge import judged
from dcam_dist.inference.reconstructions import alone
from dcam_dist.ingest.case import CaseJob, PreparedCase, prepare_case, read_scan, source_fingerprint
from dcam_dist.maps import MappedCase, Scene, dicom, export_case, map_volume
from dcam_dist.maps.export import SIDECAR
from dcam_dist.maps.naming import class_names
from dcam_dist.maps.overview import write_overview
from dcam_dist.maps.write import OVERVIEW
from dcam_dist.report.viewer import ViewerCase, write_view
from dcam_dist.runs import Bundle

VIEW = "view.html"


@dataclass(frozen=True, eq=False)
class Desk:
    """What every scan of a call is judged with.

    Attributes:
        bundle: The model, its network on this process's device.
        config: The model's, with the call's settings of ingest.
        assume_hu: Whether DICOM without rescale tags is taken for HU.
        out: Gets a folder a scan.
        view: Whether each folder gets a page with the 3D viewer.
        source_dicom: Folder of the one scan's slices, for DICOM objects on them; ``None``: none are wanted.
    """

    bundle: Bundle
    config: Config
    assume_hu: bool
    out: Path
    view: bool = False
    source_dicom: Path | None = None


def answer_scan(desk: Desk, job: CaseJob) -> Answer:
    """Judge one scan and write its folder, or leave it where the same answer lies already.

    Raises:
        CaseRejected: When the scan cannot be used.
        DataError: When ``source_dicom`` does not hold its slices.
        EnvironmentFault: When its files cannot be written.
    """
    folder, fingerprint = desk.out / job.case_id, _fingerprint(desk, job)
    stored = None if desk.source_dicom is not None else stored_answer(folder)
    if stored is not None and stored.tree["fingerprint"] == fingerprint and (folder / VIEW).exists() >= desk.view:
        return alone(stored)
    shutil.rmtree(folder, ignore_errors=True)
    scan = read_scan(job, desk.config.ingest, assume_hu=desk.assume_hu)
    prepared = prepare_case(job, scan, desk.config)
    del scan
    series = None if desk.source_dicom is None else dicom.find_series(desk.source_dicom, prepared.record)
    mapped = _mapped(desk, prepared)
    answer = judged(answer_of(mapped, desk.bundle, fingerprint), desk.bundle)
    levels = prepared.levels
    scene = Scene(mapped, levels.native_hu_DHW, levels.native_mask_DHW > 0)
    _write(scene, answer, folder, desk)
    if series is not None:
        run_sha256, names = desk.bundle.run_sha256, class_names(desk.config)
        dicom.write_dicom(mapped, levels.native_mask_DHW, series, folder, names, run_sha256=run_sha256)
    return answer


def write_answer(out: Path, answer: Answer) -> None:
    """Put what is known of a scan by now into its folder.

    Raises:
        OSError: When it cannot be written.
    """
    write_json(out / answer.case_id / SIDECAR, answer.tree)


def stored_answer(folder: Path) -> Answer | None:
    """The answer that a folder of an earlier call holds; ``None`` where it holds none, or part of one."""
    try:
        answer = Answer(read_json(folder / SIDECAR))
        files = [*answer.tree["files"].values(), OVERVIEW]
        whole = bool(answer.tree["fingerprint"]) and all((folder / name).is_file() for name in files)
        return answer if whole and answer.case_id == folder.name else None
    except (DataError, KeyError, TypeError, AttributeError):
        return None


def _fingerprint(desk: Desk, job: CaseJob) -> str:
    keyless = replace(job, case_id="", patient_key="")  # another key gives other ids, and the same answer
    files = source_fingerprint(keyless, desk.config, assume_hu=desk.assume_hu)
    seen = desk.bundle.trained_on
    about = (files, desk.bundle.run_sha256, None if seen is None else seen.model_dump_json(), __version__)
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _mapped(desk: Desk, prepared: PreparedCase) -> MappedCase:
    levels = prepared.levels
    lung_mask_DHW = levels.grid_mask_DHW > 0
    if not lung_mask_DHW.any():
        raise CaseRejected(Reason.NO_LUNGS, "the lungs are too small for the training grid")
    volume_DHW = windowed(levels.grid_hu_DHW, *desk.config.data.window_hu)
    return map_volume(desk.bundle.model, prepared.record, volume_DHW, lung_mask_DHW)


def _write(scene: Scene, answer: Answer, folder: Path, desk: Desk) -> None:
    names = class_names(desk.config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        export_case(scene, folder, names)
        write_overview(scene, folder / OVERVIEW, names)
        if desk.view:
            title = f"{answer.case_id}: {answer.title}"
            write_view([ViewerCase.from_scene(scene, title=title)], names, folder / VIEW)
        write_answer(folder.parent, answer)
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None
