"""One start of ``benchmarks.voxel_patterns``: on each rank, the texture patterns of a run and what they take.

Argument: a JSON file with ``run``, ``out``, ``lesions`` (files by case id) and ``fits`` (name → voxels of a scan,
whether trained). Rank 0 writes ``out``/figures.json.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.lesion_scores import LesionCounts, scores
from benchmarks.resident import forget_peak, peak_bytes, resident_bytes
from dcam_dist.analysis.pattern_files import pattern_settings
from dcam_dist.clustering import ALONE, ArrayRows, ClusterFit, choose_backend
from dcam_dist.clustering.rows import CHUNK_BYTES
from dcam_dist.clustering.torch_backend import TorchBackend
from dcam_dist.cohort import Cohort
from dcam_dist.cohort.layout import NATIVE_LEVEL
from dcam_dist.cohort.spatial import resample
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import ProcessContext, open_processes, ranks_of
from dcam_dist.models import build_network
from dcam_dist.runs import RestoredRun, open_cohort_of, restore_run
from dcam_dist.training.voxel_rows import stored_voxels
from dcam_dist.training.voxels import CaseVoxels, VoxelSource, visit_voxels
from dcam_dist.types import Geometry, Split

Figures = dict[str, Any]


def main(file: str) -> None:
    """Make all fits of the task."""
    task = json.loads(Path(file).read_text())
    run, out = restore_run(task["run"]), Path(task["out"])
    cohort = open_cohort_of(run)
    with open_processes() as context:
        _warm_up(run, context)
        found = {name: _fit(run, cohort, context, out, task["lesions"], *fit) for name, fit in task["fits"].items()}
        if context.is_main:
            (out / "figures.json").write_text(json.dumps(found))


def _warm_up(run: RestoredRun, context: ProcessContext) -> None:
    """A library loads its code at its first call, which is no memory of the clustering's."""
    rows = np.random.default_rng(0).normal(size=(10_000, run.network.body.channels)).astype(np.float32)
    TorchBackend(context.device).fit(ArrayRows(rows), pattern_settings(run.config), 0, ALONE)


def _fit(
    run: RestoredRun,
    cohort: Cohort,
    context: ProcessContext,
    out: Path,
    lesions: dict[str, str],
    voxels: int | None,
    trained: bool,
) -> Figures:
    patterns = run.config.patterns.model_copy(update={"voxels_per_case": voxels})
    config = run.config.model_copy(update={"patterns": patterns})
    network = (run.network if trained else build_network(run.config)).to(context.device).eval()
    source = VoxelSource(network, cohort, config, context)
    ids: dict[Split, list[str]] = {s: [case.case_id for case in cohort.split(s)] for s in ("train", "test")}
    started = time.perf_counter()
    with stored_voxels(source, ids["train"], out) as stored:
        extracted = time.perf_counter()
        fit, chunks = _measured_fit(source, stored)
    fitted = time.perf_counter()
    train, test = (_lesion_counts(source, ids[split], fit, lesions) for split in ("train", "test"))
    return {
        "rows": stored.total,
        "channels": stored.rows.shape[1],
        "chunks_of_rows": stored.total * stored.rows.shape[1] * 4 / CHUNK_BYTES,
        "backend": fit.backend,
        "extract_s": extracted - started,
        "fit_s": fitted - extracted,
        "label_s": time.perf_counter() - fitted,
        "peak_chunks": chunks,
        "sizes": fit.size_K.tolist(),
        "scans": {split: len(cases) for split, cases in ids.items()},
        "scores": scores(train, test),
        "pattern_K2": {"train": train.pattern_K2.tolist(), "test": test.pattern_K2.tolist()},
    }


def _measured_fit(source: VoxelSource, stored: Any) -> tuple[ClusterFit, list[float]]:
    """As ``analysis.patterns.find_patterns``, with the peak of each rank's resident memory above that before."""
    settings, ranks = pattern_settings(source.config), ranks_of(source.context)
    backend = choose_backend(settings, stored.total, source.context.device)
    forget_peak()
    before = resident_bytes()
    fit = backend.fit(stored.rows, settings, derived_seed(source.config.seed, "patterns", 0), ranks)
    above = np.array([[(peak_bytes() - before) / CHUNK_BYTES]])
    return fit, ranks.all_rows(above)[:, 0].tolist()


def _lesion_counts(source: VoxelSource, case_ids: list[str], fit: ClusterFit, lesions: dict[str, str]) -> LesionCounts:
    counts = LesionCounts.none(len(fit.size_K))

    def add(voxels: CaseVoxels) -> None:
        record, mask_DHW = source.cohort.case(voxels.case_id), voxels.lung_mask_DHW
        image = sitk.ReadImage(lesions[voxels.case_id])
        lesion_N = _lesion(image, record.grid)[mask_DHW]
        counts.add_patterns(fit.model.distances(fit.model.project(voxels.features_NC.numpy())), lesion_N)
        counts.add_hu(source.cohort.read(voxels.case_id)[0][mask_DHW], lesion_N, native=False)
        hu_DHW, lungs_DHW = source.cohort.read(voxels.case_id, NATIVE_LEVEL)
        counts.add_hu(hu_DHW[lungs_DHW], _lesion(image, record.native)[lungs_DHW], native=True)

    visit_voxels(source, case_ids, add)
    return LesionCounts(*map(ranks_of(source.context).sum, asdict(counts).values()))


def _lesion(image: Any, space: Geometry) -> NDArray[np.bool_]:
    """Lesions of either kind in another space."""
    lesion: NDArray[np.bool_] = resample(image, space, interpolation="nearest", outside=0) > 0
    return lesion


if __name__ == "__main__":
    main(sys.argv[1])
