"""Texture patterns: k-means over the dense features of a cohort's lungs, streamed, and subtypes of what they add up to.

The voxels of the training scans are clustered, all of them or a sample (``training.voxel_rows``); then every lung voxel
of every scan is labelled, and the scans' histograms of patterns are clustered in turn. Test scans take no part in
either clustering.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcam_dist.analysis.pattern_files import check_places, pattern_settings, write_map, write_models, write_tables
from dcam_dist.analysis.pattern_labels import label_volume, pattern_table
from dcam_dist.analysis.pattern_subtypes import by_size, find_subtypes, typical_scans
from dcam_dist.clustering import ClusterFit, ClusterModel, choose_backend
from dcam_dist.clustering.backend import refuse_too_few
from dcam_dist.cohort import Cohort
from dcam_dist.config import Config
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import ProcessContext, open_processes, ranks_of
from dcam_dist.errors import UsageError
from dcam_dist.ingest.lookup import resolve_case_ids
from dcam_dist.runs import RestoredRun, open_cohort_of, restore_run
from dcam_dist.runs.artefact import source_of_run
from dcam_dist.training.together import on_main, together
from dcam_dist.training.voxel_rows import stored_voxels
from dcam_dist.training.voxels import CaseVoxels, VoxelSource, visit_voxels

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PatternSummary:
    """What a clustering of voxels came to.

    Attributes:
        out: The folder that was written.
        patterns: The patterns, the largest first.
        subtypes: The subtypes of scans, the largest first.
        mapped: The cases whose patterns were written as volumes.
        is_main: Whether this is rank 0.
    """

    out: Path
    patterns: ClusterFit
    subtypes: ClusterFit
    mapped: tuple[str, ...]
    is_main: bool


def cluster_voxels(
    run: str | Path,
    out: str | Path,
    config: Config,
    *,
    cohort: str | Path | None = None,
    case_ids: Sequence[str] = (),
) -> PatternSummary:
    """Find texture patterns in the lungs of a finished run's cohort, and subtypes of scans; write both to ``out``.

    Alone or on every rank of a launcher, which all call together; patterns do not depend on how many there are, but for
    rounding. ``pattern_files`` says what is written.

    Args:
        run: A finished run of the dcam network, or a supervised one.
        out: A folder; files of the same names are replaced.
        config: Its ``patterns``, ``clustering``, ``maps`` and ``seed`` are followed; all else is the run's.
        cohort: Where the run's cohort is now, when it has moved.
        case_ids: Cases whose patterns are written as volumes; none: the most typical training scans of each subtype.

    Raises:
        UsageError: No finished run, one without dense features, not its cohort, an unknown case, or something else in
            ``out`` where an artefact would go.
        DataError: A damaged checkpoint, volume or chunk of features; too few scans or voxels.
        EnvironmentFault: No room for the features, or the files cannot be written.
    """
    restored, folder = restore_run(run), Path(out)
    if restored.network.body.stride != 1:
        raise UsageError(f"{run}: method=baseline has no features of single voxels; name a run of method=dcam")
    opened = open_cohort_of(restored, cohort)
    settings = _settings(restored.config, config)
    named = resolve_case_ids(opened, case_ids)
    refuse_too_few(len(opened.split("train")), settings.clustering)
    check_places(folder)
    with open_processes(settings.training.timeout_s) as context:
        source = voxel_source(restored, opened, settings, context)
        return _cluster(source, folder, named, source_of_run(restored))


def voxel_source(run: RestoredRun, cohort: Cohort, config: Config, context: ProcessContext) -> VoxelSource:
    """A run's network and the volumes that it looks at."""
    return VoxelSource(run.network.to(context.device).eval(), cohort, config, context)


def find_patterns(source: VoxelSource, case_ids: Sequence[str], out: Path) -> ClusterFit:
    """Cluster the voxels of some scans; the largest pattern is the first. All ranks call together.

    Args:
        source: Network, volumes and settings.
        case_ids: The scans, those of all ranks.
        out: Where their features lie meanwhile, see ``stored_voxels``.

    Raises:
        DataError, EnvironmentFault, FailedElsewhere: See ``stored_voxels``.
    """
    settings, context = pattern_settings(source.config), source.context
    seed = derived_seed(source.config.seed, "patterns", 0)
    together(partial(choose_backend, settings, 0, context.device), context)  # one that is missing is told at once
    with stored_voxels(source, case_ids, out) as stored:
        backend = choose_backend(settings, stored.total, context.device)
        fit = by_size(backend.fit(stored.rows, settings, seed, ranks_of(context)))
    if context.is_main:
        sizes = ", ".join(f"{size:,}" for size in fit.size_K)
        log.info("%d voxels in %d patterns (%s) of %s", stored.total, len(fit.size_K), fit.backend, sizes)
    return fit


def _cluster(source: VoxelSource, out: Path, named: tuple[str, ...], origin: Mapping[str, str]) -> PatternSummary:
    cohort, config, context = source.cohort, source.config, source.context
    on_main(partial(out.mkdir, parents=True, exist_ok=True), context)
    train = [case.case_id for case in cohort.split("train")]
    cases = [*cohort.split("train"), *cohort.split("test")]
    fit = find_patterns(source, train, out)
    table = pattern_table(source, [case.case_id for case in cases], fit.model)
    subtypes = find_subtypes(table, len(train), config, context)
    on_main(partial(write_models, out, fit, subtypes, config, origin), context)
    on_main(partial(write_tables, out, cases, fit, table, subtypes, len(train)), context)
    mapped = named or typical_scans(subtypes, table.case_id_N, len(train), config.maps.typical_cases)
    _write_maps(source, mapped, fit.model, out)
    return PatternSummary(out, fit, subtypes.fit, mapped, context.is_main)


def _write_maps(source: VoxelSource, case_ids: Sequence[str], model: ClusterModel, out: Path) -> None:
    def write(voxels: CaseVoxels) -> None:
        label_DHW = label_volume(voxels, model, source.config.patterns.supervoxel)
        write_map(label_DHW, source.cohort.case(voxels.case_id), out)

    visit_voxels(source, case_ids, write)


def _settings(of_run: Config, asked: Config) -> Config:
    """The run's configuration, which its network and cohort go with, with what is asked of this clustering."""
    sections = ("patterns", "clustering", "maps", "seed")
    return of_run.model_copy(update={name: getattr(asked, name) for name in sections})
