"""One scan: read, lungs, training grid, network, maps; in memory until its own files are written."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

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
from dcam_dist.runs.sealed import written_whole

VIEW = "view.html"


@dataclass(frozen=True, eq=False)
class Desk:
    """What every scan of a call is judged with.

    Attributes:
        bundle: The model, its network on this process's device.
        about: What names it, as ``about_model`` gives it.
        config: The model's, with the call's settings of ingest.
        assume_hu: Whether DICOM without rescale tags is taken for HU.
        out: Gets a folder a scan.
        view: Whether each folder gets a page with the 3D viewer.
        source_dicom: Folder of the one scan's slices, for DICOM objects on them; ``None``: none are wanted.
    """

    bundle: Bundle
    about: Mapping[str, str]
    config: Config
    assume_hu: bool
    out: Path
    view: bool = False
    source_dicom: Path | None = None


def answer_scan(desk: Desk, job: CaseJob) -> Answer:
    """Judge one scan and write its folder, or leave it where the same answer lies already.

    An earlier answer is there until the new one is whole. Where DICOM objects are asked for, the scan is read anew, for
    only its voxels tell whether the slices are its own.

    Raises:
        CaseRejected: When the scan cannot be used.
        DataError: When ``source_dicom`` does not hold its slices, or the model gives no numbers.
        EnvironmentFault: When its files cannot be written.
    """
    folder, fingerprint = desk.out / job.case_id, _fingerprint(desk, job)
    stored = stored_answer(folder)
    same = stored if stored is not None and stored.tree["fingerprint"] == fingerprint else None
    if same is not None and desk.source_dicom is None and (not desk.view or VIEW in same.tree["sizes"]):
        answer = alone(same)
        write_answer(desk.out, answer)
        return answer
    scan = read_scan(job, desk.config.ingest, assume_hu=desk.assume_hu)
    prepared = prepare_case(job, scan, desk.config, fingerprint)
    del scan
    series = None if desk.source_dicom is None else dicom.find_series(desk.source_dicom, prepared.record)
    mapped = _mapped(desk, prepared)
    answer = judged(answer_of(mapped, desk.bundle, desk.about, fingerprint), desk.bundle)
    levels = prepared.levels
    with _side_of(folder) as side:
        _draw(Scene(mapped, levels.native_hu_DHW, levels.native_mask_DHW > 0), answer, side, desk)
        if series is not None:
            run_sha256, names = desk.bundle.run_sha256, class_names(desk.config)
            dicom.write_dicom(mapped, levels.native_mask_DHW, series, side, names, run_sha256=run_sha256)
        if same is not None:
            _keep(folder, side)
        answer = Answer({**answer.tree, "sizes": _sizes(side)})
        write_json(side / SIDECAR, answer.tree)
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
        sizes = answer.tree["sizes"]
        whole = bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
        return answer if whole and answer.tree["fingerprint"] and answer.case_id == folder.name else None
    except (OSError, DataError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _fingerprint(desk: Desk, job: CaseJob) -> str:
    keyless = replace(job, case_id="", patient_key="")  # another key gives other ids, and the same answer
    files = source_fingerprint(keyless, desk.config, assume_hu=desk.assume_hu)
    seen = desk.bundle.trained_on
    about = (files, sorted(desk.about.items()), None if seen is None else seen.model_dump_json(), __version__)
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _mapped(desk: Desk, prepared: PreparedCase) -> MappedCase:
    levels = prepared.levels
    lung_mask_DHW = levels.grid_mask_DHW > 0
    if not lung_mask_DHW.any():
        raise CaseRejected(Reason.NO_LUNGS, "the lungs are too small for the training grid")
    volume_DHW = windowed(levels.grid_hu_DHW, *desk.config.data.window_hu)
    mapped = map_volume(desk.bundle.model, prepared.record, volume_DHW, lung_mask_DHW)
    numbers = (mapped.maps.dense_KDHW, mapped.maps.logit_K, mapped.maps.feature_C, mapped.distance_K)
    if not all(np.isfinite(array).all() for array in numbers if array is not None):
        raise DataError(
            f"case {mapped.record.case_id}: the model gives numbers that are not finite, so its weights are no good; "
            "export the run anew"
        )
    return mapped


@contextmanager
def _side_of(folder: Path) -> Iterator[Path]:
    """As ``written_whole``, with a line on what cannot be written."""
    try:
        with written_whole(folder) as side:
            yield side
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None


def _draw(scene: Scene, answer: Answer, side: Path, desk: Desk) -> None:
    names = class_names(desk.config)
    export_case(scene, side, names)
    write_overview(scene, side / OVERVIEW, names)
    if desk.view:
        title = f"{answer.case_id}: {answer.title}"
        write_view([ViewerCase.from_scene(scene, title=title)], names, side / VIEW)


def _keep(folder: Path, side: Path) -> None:
    """Take over what an earlier call was asked for beside the same answer."""
    if (folder / VIEW).is_file() and not (side / VIEW).exists():
        shutil.copy(folder / VIEW, side / VIEW)
    if (folder / dicom.FOLDER).is_dir() and not (side / dicom.FOLDER).exists():
        shutil.copytree(folder / dicom.FOLDER, side / dicom.FOLDER)


def _sizes(side: Path) -> dict[str, int]:
    """Bytes of every file of an answer but the one that says so, by its path within the folder."""
    files = sorted(path for path in side.rglob("*") if path.is_file() and path.name != SIDECAR)
    return {path.relative_to(side).as_posix(): path.stat().st_size for path in files}
