"""What scans' lungs consist of, as rows for ``assign``: their shares of the texture patterns that were found before."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dcam_dist.analysis.pattern_labels import pattern_table
from dcam_dist.clustering import ClusterModel
from dcam_dist.cohort import Cohort
from dcam_dist.distributed import ProcessContext
from dcam_dist.errors import DataError, UsageError
from dcam_dist.runs import ClusterArtefact, RestoredRun, read_artefact
from dcam_dist.runs.artefact import source_of_run
from dcam_dist.training.together import together
from dcam_dist.training.voxels import VoxelSource
from dcam_dist.types import FeatureTable, Split

PATTERN_MODEL = "patterns"
SHARES = "shares of lung voxels in texture patterns"
SUPERVOXEL, DIGEST = "supervoxel", "patterns_sha256"
EDGES = ("1", "2", "4", "8")
"""What ``patterns.supervoxel`` can be."""


def pattern_shares(
    run: RestoredRun, cohort: Cohort, patterns: Path, context: ProcessContext, split: Split | None = None
) -> tuple[FeatureTable, Mapping[str, str]]:
    """Share of each scan's lung voxels in each pattern. All ranks call together; each has the whole table.

    Args:
        run: The run whose features the patterns were made of.
        cohort: The scans, on its grid.
        patterns: What ``cluster --features voxel`` has written.
        context: This process.
        split: Of this split alone; ``None``: all cases.

    Returns:
        The rows, and what names them.

    Raises:
        UsageError: When there are no patterns, or they are another run's.
        DataError: When the patterns or a stored volume are damaged.
    """
    found = together(partial(_patterns_of, run, patterns), context)
    edge = _edge(found, patterns)
    settings = run.config.model_copy(update={"patterns": run.config.patterns.model_copy(update={"supervoxel": edge})})
    source = VoxelSource(run.network.to(context.device).eval(), cohort, settings, context)
    cases = cohort.cases if split is None else cohort.split(split)
    table = pattern_table(source, [case.case_id for case in cases], found.model)
    about = {"rows": SHARES, DIGEST: digest_of(found.model)}
    return FeatureTable(table.shares, table.case_id_N), about


def digest_of(patterns: ClusterModel) -> str:
    """What names the patterns that shares are of."""
    return hashlib.sha256(patterns.centroid_KP.tobytes()).hexdigest()


def _patterns_of(run: RestoredRun, patterns: Path) -> ClusterArtefact:
    found = read_artefact(patterns / PATTERN_MODEL)
    if found.source.get("run_sha256") != source_of_run(run)["run_sha256"]:
        raise UsageError(f"{patterns}: its patterns are not those of {run.path}; name the run that they were made of")
    return found


def _edge(found: ClusterArtefact, patterns: Path) -> int:
    text = found.source.get(SUPERVOXEL, "")
    if text not in EDGES:
        raise DataError(f"{patterns}: its patterns do not say which cells they are of; make them anew")
    return int(text)
