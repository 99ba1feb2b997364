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

from dcam_dist.analysis.features import open_run
from dcam_dist.analysis.pattern_files import (
    check_places,
    pattern_settings,
    write_map,
    write_models,
    write_quality,
    write_tables,
)
from dcam_dist.analysis.pattern_labels import label_volume, pattern_table
from dcam_dist.analysis.pattern_quality import PatternQuality, pattern_quality
from dcam_dist.analysis.pattern_subtypes import by_size, find_subtypes, typical_scans
from dcam_dist.clustering import ClusterFit, ClusterModel, choose_backend
from dcam_dist.clustering.backend import refuse_too_few
from dcam_dist.cohort import Cohort
from dcam_dist.config import Config
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import ProcessContext, open_processes, ranks_of
from dcam_dist.errors import UsageError
from dcam_dist.ingest.lookup import resolve_case_ids
from dcam_dist.runs import RestoredRun
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
        quality: Of the patterns.
        mapped: The cases whose patterns were written as volumes.
        is_main: Whether this is rank 0.
    """

    out: Path
    patterns: ClusterFit
    subtypes: ClusterFit
    quality: PatternQuality
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
        config: Its ``patterns``, ``clustering``, ``maps``, ``evaluation`` and ``seed`` are followed; all else is the
            run's.
        cohort: Where the run's cohort is now, when it has moved.
        case_ids: Cases whose patterns are written as volumes; none: the most typical training scans of each subtype.

    Raises:
        UsageError: No finished run, one without dense features, not its cohort, an unknown case, or something else in
            ``out`` where an artefact would go.
        DataError: A damaged checkpoint, volume or chunk of features; too few scans or voxels.
        EnvironmentFault: No room for the features, or the files cannot be written.
    """
    folder = Path(out)
    with open_processes(config.training.timeout_s) as context:
        restored, opened = together(partial(_open, run, cohort, folder), context)
        settings = _settings(restored.config, config)
        refuse_too_few(len(opened.split("train")), settings.clustering)
        source = voxel_source(restored, opened, settings, context)
        return _cluster(source, folder, resolve_case_ids(opened, case_ids), source_of_run(restored))


def _open(run: str | Path, cohort: str | Path | None, out: Path) -> tuple[RestoredRun, Cohort]:
    restored, opened = open_run(run, cohort)
    if restored.network.body.stride != 1:
        raise UsageError(f"{run}: method=baseline has no features of single voxels; name a run of method=dcam")
    check_places(out)
    return restored, opened


def voxel_source(run: RestoredRun, cohort: Cohort, config: Config, context: ProcessContext) -> VoxelSource:
    """A run's network and the volumes that it looks at."""
    return VoxelSource(run.network.to(context.device).eval(), cohort, config, context)


def find_patterns(source: VoxelSource, case_ids: Sequence[str], out: Path) -> tuple[ClusterFit, PatternQuality]:
    """Cluster the voxels of some scans and score it; the largest pattern is the first. All ranks call together.

    ``clustering.backend=auto`` is torch, which leaves rows where they are.

    Args:
        source: Network, volumes and settings.
        case_ids: The scans, those of all ranks.
        out: Where their features lie meanwhile, see ``stored_voxels``.

    Raises:
        DataError, EnvironmentFault, FailedElsewhere: See ``stored_voxels``.
    """
    settings, context = _streamed(pattern_settings(source.config)), source.context
    seed = derived_seed(source.config.seed, "patterns", 0)
    together(partial(choose_backend, settings, 0, context.device), context)  # one that is missing is told at once
    with stored_voxels(source, case_ids, out) as stored:
        backend = choose_backend(settings, stored.total, context.device)
        fit = by_size(backend.fit(stored.rows, settings, seed, ranks_of(context)))
        quality = pattern_quality(stored.rows, fit, source.config, context)
    if context.is_main:
        sizes = ", ".join(f"{size:,}" for size in fit.size_K)
        log.info("%d voxels in %d patterns (%s) of %s", stored.total, len(fit.size_K), fit.backend, sizes)
    return fit, quality


def _cluster(source: VoxelSource, out: Path, named: tuple[str, ...], origin: Mapping[str, str]) -> PatternSummary:
    cohort, config, context = source.cohort, source.config, source.context
    on_main(partial(out.mkdir, parents=True, exist_ok=True), context)
    train = [case.case_id for case in cohort.split("train")]
    cases = [*cohort.split("train"), *cohort.split("test")]
    fit, quality = find_patterns(source, train, out)
    table = pattern_table(source, [case.case_id for case in cases], fit.model)
    subtypes = find_subtypes(table, len(train), config, context)
    on_main(partial(write_models, out, fit, subtypes, config, origin), context)
    on_main(partial(write_tables, out, cases, fit, table, subtypes, len(train)), context)
    on_main(partial(write_quality, out, quality), context)
    mapped = named or typical_scans(subtypes, table.case_id_N, len(train), config.maps.typical_cases)
    _write_maps(source, mapped, fit.model, out)
    return PatternSummary(out, fit, subtypes.fit, quality, mapped, context.is_main)


def _write_maps(source: VoxelSource, case_ids: Sequence[str], model: ClusterModel, out: Path) -> None:
    def write(voxels: CaseVoxels) -> None:
        label_DHW = label_volume(voxels, model, source.config.patterns.supervoxel)
        write_map(label_DHW, source.cohort.case(voxels.case_id), out)

    visit_voxels(source, case_ids, write)


def _streamed(settings: ClusteringConfig) -> ClusteringConfig:
    return settings.model_copy(update={"backend": "torch"}) if settings.backend == "auto" else settings


def _settings(of_run: Config, asked: Config) -> Config:
    """The run's configuration, which its network and cohort go with, with what is asked of this clustering."""
    sections = ("patterns", "clustering", "maps", "evaluation", "seed")
    return of_run.model_copy(update={name: getattr(asked, name) for name in sections})
