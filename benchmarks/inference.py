"""How long one new scan takes, from its DICOM files to its maps, and one pass of the network on the paper's grid.

    python -m benchmarks run inference --out DIR [--profile cpu|cpu-smoke]

The real chest CT beside the project (512×512×133), else a generated one. Random weights: time does not depend on them.
Two models: the demo's network on the demo's grid, whose whole way is timed stage by stage in one process, and
`configs/paper.yaml` on the paper's grid, of which the pass alone is timed, once a round.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.harness import Measured, Options, Series, Target, seconds_of, timed_series
from benchmarks.scans import dicom_folder
from dcam_dist.cohort.stream import windowed
from dcam_dist.config import Config, load_config
from dcam_dist.ingest.case import CaseJob, PreparedCase, prepare_case, read_scan, source_fingerprint
from dcam_dist.maps import MappedCase, Scene, activation_maps, export_case, map_volume
from dcam_dist.maps.naming import class_names
from dcam_dist.maps.overview import write_overview
from dcam_dist.models import build_network
from dcam_dist.runs import TrainedModel
from dcam_dist.types import UNASSIGNED

CONFIGS = Path(__file__).parents[1] / "configs"
TINY = ["grid.shape=[32,32,32]", "network.filters=4", "clustering.clusters=2", "network.precision=fp32"]
STAGES = ("read", "lungs, densitometry and grid", "network and maps", "maps in the scan's space", "overlay")
BOUND_S = 60.0
"""Of a scan, everything included but the start of the process, on two cores."""

Sample = tuple[float, float]
Made = TypeVar("Made")


def inference(options: Options) -> Measured:
    """Every stage of a scan at the demo's grid, and the network's pass at the paper's."""
    settings = TINY if options.smoke else []
    demo, paper = (load_config(CONFIGS / f"{name}.yaml", settings) for name in ("demo", "paper"))
    folder, origin = dicom_folder(options)
    job = CaseJob("scan", "scan", "test", UNASSIGNED, (tuple(sorted(folder.iterdir())),), "dicom")
    model = TrainedModel(demo, build_network(demo).eval(), None)
    rounds = [_one_scan(job, model, options.scratch) for _ in range(options.repeats)]
    stages = [timed_series(name, [samples[index] for samples in rounds]) for index, name in enumerate(STAGES)]
    whole = Series("whole scan, demo's grid", "s", tuple(sum(wall for wall, _ in samples) for samples in rounds))
    passes = timed_series(
        "network's pass, paper's grid", [_one_pass(paper, options.seed) for _ in range(options.repeats)]
    )
    return Measured(
        title="One new scan, from DICOM to maps",
        config={
            "scan": origin,
            "demo's grid": demo.grid.shape,
            "demo's filters": demo.network.filters,
            "maps": demo.classes,
            "paper's grid": paper.grid.shape,
            "paper's filters": paper.network.filters,
            "paper's precision": paper.network.precision,
        },
        series=(*stages, passes),
        targets=(Target(whole, BOUND_S, "at_most"),),
        notes=(
            "Stages run one after the other in a warm process; its start and imports come on top.",
            "The scan's files are in the page cache after the first round.",
        ),
    )


def _one_scan(job: CaseJob, model: TrainedModel, out: Path) -> list[Sample]:
    """The stages in their order."""
    config, names = model.config, class_names(model.config)
    samples: list[Sample] = []

    def timed(stage: Callable[[], Made]) -> Made:
        made: list[Made] = []
        samples.append(seconds_of(lambda: made.append(stage())))
        return made[0]

    scan = timed(lambda: read_scan(job, config.ingest, assume_hu=False))
    fingerprint = source_fingerprint(job, config, assume_hu=False)
    prepared = timed(lambda: prepare_case(job, scan, config, fingerprint))
    mapped = timed(lambda: _mapped(model, prepared))
    scene = Scene(mapped, prepared.levels.native_hu_DHW, prepared.levels.native_mask_DHW > 0)
    timed(lambda: export_case(scene, out, names))
    timed(lambda: write_overview(scene, out / "overlay.png", names))
    return samples


def _mapped(model: TrainedModel, prepared: PreparedCase) -> MappedCase:
    levels = prepared.levels
    volume_DHW = windowed(levels.grid_hu_DHW, *model.config.data.window_hu)
    return map_volume(model, prepared.record, volume_DHW, levels.grid_mask_DHW > 0)


def _one_pass(config: Config, seed: int) -> Sample:
    network = build_network(config).eval()
    rng = np.random.default_rng(seed)
    volume_DHW = rng.random(config.grid.shape, dtype=np.float32)
    return seconds_of(lambda: activation_maps(network, volume_DHW, volume_DHW > 0.5))
