"""``maps``: restore a run, pass cases through it, write their maps, their overviews and the figure."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dcam_dist.cohort import Cohort
from dcam_dist.cohort.layout import NATIVE_LEVEL
from dcam_dist.distributed import open_processes
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.lookup import resolve_case_ids
from dcam_dist.maps import dicom
from dcam_dist.maps.cohort_labels import add_winner, cohort_for_labels
from dcam_dist.maps.compute import map_case
from dcam_dist.maps.export import export_case
from dcam_dist.maps.figure1 import coronal_view, write_figure1
from dcam_dist.maps.naming import ClassNames, class_names
from dcam_dist.maps.overview import write_overview
from dcam_dist.maps.scene import Scene, open_scene
from dcam_dist.maps.slices import Slice
from dcam_dist.maps.typical import TypicalCases, find_typical
from dcam_dist.runs import RestoredRun, fingerprint, open_cohort_of, restore_run

FOLDER, OVERVIEW, FIGURE = "maps", "overlay.png", "figure1.png"

Export = Callable[[Scene], Iterable[Path]]
"""Writes a further form of a case's maps, and says into which files or folders."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MapsSummary:
    """What was written.

    Attributes:
        folder: ``RUN/maps``.
        case_ids: The cases, in the order written.
        files: Files of all cases under the folder; not the figure.
        figure: The typical cases of each class; ``None`` when cases were named.
        identified: The folder of DICOM objects, which identify the patient; ``None`` when none were asked for.
        labels: The labels in the cohort, where these were asked for.
    """

    folder: Path
    case_ids: tuple[str, ...]
    files: tuple[Path, ...]
    figure: Path | None
    identified: Path | None = None
    labels: tuple[Path, ...] = ()


def write_maps(
    run: Path,
    *,
    case_ids: Sequence[str] = (),
    cohort: Path | None = None,
    source_dicom: Path | None = None,
    ome_zarr: bool = False,
) -> MapsSummary:
    """Write dense clustering activation maps of some cases of a finished run's cohort.

    Each case gets a folder ``RUN/maps/<case_id>`` with one NIfTI file a class and one of the winning class, in the
    scan's own space and affine, a JSON file, and a PNG overview. Clusters are numbered from 0 inside the program
    and from 1 in everything that is written.

    Args:
        run: The run's directory.
        case_ids: Cases of either split, by the cohort's ids or, where its private file is at hand, by those that the
            case table gave. None: the ``config.maps.typical_cases`` most typical training cases of each
            class, and the figure that shows them side by side.
        cohort: Where the cohort is, if not where it was at training.
        source_dicom: Folder with the DICOM slices of the one case named: its maps are written as DICOM objects too.
        ome_zarr: Write the winning class of each case into the cohort too, as a label image.

    Raises:
        UsageError: No finished run, no cohort, another grid than the run's, an unknown case, or DICOM for more or fewer
            than one named case.
        DataError: A damaged checkpoint or volume, or no slices of the case in ``source_dicom``.
        EnvironmentFault: The files or the cohort cannot be written, or the extra ``dicom`` is missing.
    """
    if source_dicom is not None:
        if len(case_ids) != 1:
            raise UsageError("--source-dicom is the folder of one scan: name that case, and only that, with --case")
        dicom.check_highdicom()
    restored = restore_run(run)
    store = open_cohort_of(restored, cohort)
    names, folder = class_names(restored.config), Path(run) / FOLDER
    chosen = resolve_case_ids(store, case_ids)
    labels: list[Path] = []
    with ExitStack() as held:
        further: list[Export] = []
        if source_dicom is not None:
            further.append(_as_dicom(restored, store, chosen[0], source_dicom, folder, names))
        if ome_zarr:
            held.enter_context(cohort_for_labels(store))
            further.append(_as_label(restored, store, names, labels))
        summary = _write_chosen(restored, store, chosen, folder, names, further)
    identified = None if source_dicom is None else folder / chosen[0] / dicom.FOLDER
    return replace(summary, identified=identified, labels=tuple(labels))


def _as_dicom(
    restored: RestoredRun, store: Cohort, case_id: str, source: Path, folder: Path, names: ClassNames
) -> Export:
    series, run_sha256 = dicom.find_series(source, store.case(case_id)), fingerprint(restored.checkpoint)

    def export(scene: Scene) -> list[Path]:
        sides_DHW = store.lung_mask(case_id, NATIVE_LEVEL).compute()
        return dicom.write_dicom(scene.mapped, sides_DHW, series, folder / case_id, names, run_sha256=run_sha256)

    return export


def _as_label(restored: RestoredRun, store: Cohort, names: ClassNames, labels: list[Path]) -> Export:
    add = partial(add_winner, method=restored.config.method, run_sha256=fingerprint(restored.checkpoint))

    def export(scene: Scene) -> tuple[Path, ...]:
        labels.append(add(scene, store, names))
        return ()

    return export


def _write_chosen(
    restored: RestoredRun,
    store: Cohort,
    chosen: tuple[str, ...],
    folder: Path,
    names: ClassNames,
    further: Sequence[Export],
) -> MapsSummary:
    if chosen:
        files, _ = _write_cases(restored, store, chosen, folder, names, {}, further)
        return MapsSummary(folder, chosen, files, None)
    groups = _find_typical(restored, store)
    shown_as = {case_id: group.class_id for group in groups for case_id in group.case_ids}
    files, views = _write_cases(restored, store, tuple(shown_as), folder, names, shown_as, further)
    title = f"The most typical training cases of each {names.kind} and their activation maps · {restored.config.method}"
    figure = write_figure1(groups, views, folder / FIGURE, names, title)
    return MapsSummary(folder, tuple(shown_as), files, figure)


def _find_typical(restored: RestoredRun, store: Cohort) -> tuple[TypicalCases, ...]:
    with open_processes(restored.config.training.timeout_s) as context:
        restored.network.to(context.device)
        groups = find_typical(restored, store, context, restored.config.maps.typical_cases)
        restored.network.to("cpu")
    return groups


def _write_cases(
    restored: RestoredRun,
    store: Cohort,
    case_ids: Sequence[str],
    folder: Path,
    names: ClassNames,
    shown_as: dict[str, int],
    further: Sequence[Export],
) -> tuple[tuple[Path, ...], dict[str, Slice]]:
    files: list[Path] = []
    views: dict[str, Slice] = {}
    for case_id in case_ids:
        scene = open_scene(map_case(restored, store, case_id), store)
        files += _write_case(scene, folder / case_id, names)
        for export in further:
            files += export(scene)
        if case_id in shown_as:
            views[case_id] = coronal_view(scene, shown_as[case_id])
        log.info("%s: %s", case_id, names.titles[scene.mapped.class_id])
    return tuple(files), views


def _write_case(scene: Scene, folder: Path, names: ClassNames) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [*export_case(scene, folder, names), write_overview(scene, folder / OVERVIEW, names)]
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be written ({error.strerror})") from None
