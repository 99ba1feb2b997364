"""Texture patterns of generated scans: memory and time of the streamed clustering, and how the patterns meet lesions.

    python -m benchmarks run voxel_patterns --out DIR [--profile cpu|cpu-smoke] [--repeats SEEDS]

Each round has a seed of its own: a cohort, a training of the network (unsupervised, on patches), and texture patterns
made on two ranks, of so many voxels a scan as is the default, with the trained and with the untrained network. The
first round also clusters all lung voxels of its training scans, from their Zarr stores. Patterns know nothing of
lesions: which of them mean one is decided on the training scans' masks, and scored on scans that took no part in
anything. Beside them: thresholding at −950 HU, and at the threshold that is best on the training scans.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Measured, Options, Series, Target
from benchmarks.launched import Launched, train_command
from benchmarks.report import number, table
from dcam_dist.clustering.torch_backend import PEAK_CHUNKS
from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.config.schema import PatternsConfig
from dcam_dist.ingest import ingest
from dcam_dist.ingest.lookup import resolve_case_ids
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.training.voxel_store import READ_CHUNKS

RANKS = 2
FIRST_SEED = 301
"""No choice of the generator or of the method was made on this seed or the next."""
CASES, SMOKE_CASES = 60, 12
CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"
SETTINGS = (
    "grid.shape=[64,96,128]",
    "ingest.test_fraction=0.25",
    "data.patch=[32,48,64]",
    "training.epochs=4",
    "clustering.backend=torch",
)
SMOKE_SETTINGS = (
    "grid.shape=[16,32,32]",
    "network.filters=4",
    "training.epochs=1",
    "clustering.clusters=2",
    "clustering.backend=torch",
    "patterns.clusters=4",
)
ALL, TRAINED, UNTRAINED = "trained, all voxels", "trained", "untrained"
LONGEST_S = 3600.0
Figures = dict[str, Any]
Fits = dict[str, tuple[int | None, bool]]
"""Voxels taken of a scan, all for ``None``, and whether of the trained network."""

SCORES = (
    ("one pattern, the best on train", "dice_best_pattern", "auprc_best_pattern"),
    ("patterns by their lesion share on train", "dice_best_patterns", "auprc_lesion_rates"),
)
DENSITY = (
    ("HU below −950, {}", "dice_950_{}", "auprc_hu_{}"),
    ("HU below the best threshold on train, {}", "dice_tuned_{}", "auprc_hu_{}"),
)
SPACES = (("grid", "training grid"), ("native", "the scan's resolution"))


def voxel_patterns(options: Options) -> Measured:
    """Every seed's figures."""
    rounds = {}
    for offset in range(options.repeats):
        seed = FIRST_SEED + options.seed + offset
        rounds[seed] = one_seed(options.scratch / str(seed), seed, options, every_voxel=offset == 0)
        print(f"seed {seed} done after {rounds[seed]['seconds']:.0f} s", flush=True)
    first = next(iter(rounds.values()))["fits"]
    peak = Series("resident memory above that before, all voxels", "chunks", tuple(first[ALL]["peak_chunks"]))
    bound = PEAK_CHUNKS + READ_CHUNKS
    return Measured(
        title=f"Texture patterns: {first[ALL]['rows']:,} lung voxels clustered from Zarr on {RANKS} ranks",
        config={
            "cases": first[ALL]["scans"],
            "settings": " ".join(SMOKE_SETTINGS if options.smoke else SETTINGS),
            "patterns": PatternsConfig().clusters if not options.smoke else 4,
            "seeds": list(rounds),
        },
        series=(peak, *_seconds(rounds)),
        targets=(Target(peak, bound, "at_most"),),
        notes=_notes(rounds, bound),
        details={"seeds": rounds},
        tables={
            "Memory and time of the clustering": _memory_table(rounds),
            "Lesions of held-out scans: median over the seeds and their range": _lesion_table(rounds),
        },
    )


def one_seed(folder: Path, seed: int, options: Options, *, every_voxel: bool) -> Figures:
    """Cohort, training, patterns; the figures of each fit."""
    started = time.perf_counter()
    settings = [*(SMOKE_SETTINGS if options.smoke else SETTINGS), f"seed={seed}", f"ingest.workers={options.cores}"]
    config = load_config(CONFIG, settings)
    scans = write_phantom_cohort(
        folder / "scans", cases=SMOKE_CASES if options.smoke else CASES, seed=seed, format="nifti"
    ).parent
    ingest([scans / "cases.csv"], folder / "cohort.zarr", config=config)
    arguments = [
        "--config",
        str(CONFIG),
        *settings,
        f"data.cohort={folder / 'cohort.zarr'}",
        f"output={folder / 'run'}",
    ]
    _finish(Launched(train_command(arguments, ranks=RANKS, launcher="launch"), folder / "train.log"))
    sample = 500 if options.smoke else PatternsConfig().voxels_per_case
    fits: Fits = {ALL: (None, True)} if every_voxel else {}
    fits |= {TRAINED: (sample, True), UNTRAINED: (sample, False)}
    return {"fits": _patterns(folder, scans, fits), "seconds": time.perf_counter() - started}


def _patterns(folder: Path, scans: Path, fits: Fits) -> Figures:
    names = sorted(path.name for path in scans.iterdir() if path.is_dir())
    ids = resolve_case_ids(open_cohort(folder / "cohort.zarr"), names)
    lesions = {case_id: str(scans / name / "lesion_mask.nii.gz") for case_id, name in zip(ids, names, strict=True)}
    task = folder / "task.json"
    task.write_text(json.dumps({"run": str(folder / "run"), "out": str(folder), "lesions": lesions, "fits": fits}))
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={RANKS}"]
    _finish(Launched([*command, "-m", "benchmarks.voxel_patterns_job", str(task)], folder / "patterns.log"))
    figures: Figures = json.loads((folder / "figures.json").read_text())
    return figures


def _finish(started: Launched) -> None:
    if started.wait(LONGEST_S) != [0]:
        raise RuntimeError(started.said)


def _seconds(rounds: dict[int, Figures]) -> list[Series]:
    steps = {"extract_s": "extraction to the disk", "fit_s": "k-means", "label_s": "labelling and scoring"}
    return [
        Series(
            f"{words}, {name}", "s", tuple(one["fits"][name][step] for one in rounds.values() if name in one["fits"])
        )
        for name in (ALL, TRAINED, UNTRAINED)
        for step, words in steps.items()
    ]


def _memory_table(rounds: dict[int, Figures]) -> str:
    rows = [
        [
            str(seed),
            name,
            f"{fit['rows']:,} × {fit['channels']}",
            number(fit["chunks_of_rows"] / RANKS),
            " and ".join(number(chunks) for chunks in fit["peak_chunks"]),
            *(number(fit[step]) for step in ("extract_s", "fit_s", "label_s")),
        ]
        for seed, one in rounds.items()
        for name, fit in one["fits"].items()
    ]
    head = ["seed", "network", "rows", "chunks of rows, a rank", "peak of each rank, chunks"]
    return table([*head, "extraction, s", "k-means, s", "labelling and scoring, s"], rows)


def _lesion_table(rounds: dict[int, Figures]) -> str:
    rows = [
        [f"{words}: {name} network", *(_spread(rounds, name, key) for key in keys)]
        for name in (TRAINED, UNTRAINED)
        for words, *keys in SCORES
    ]
    rows += [
        [words.format(title), *(_spread(rounds, TRAINED, key.format(space)) for key in keys)]
        for space, title in SPACES
        for words, *keys in DENSITY
    ]
    rows += [
        [f"a random guess, {title}", "–", _spread(rounds, TRAINED, f"lesion_share_{space}")] for space, title in SPACES
    ]
    return table(["what tells a lesion", "Dice", "AUPRC"], rows)


def _spread(rounds: dict[int, Figures], name: str, key: str) -> str:
    values = [one["fits"][name]["scores"][key] for one in rounds.values()]
    spread = f" [{min(values):.3f}, {max(values):.3f}]" if len(values) > 1 else ""
    return f"{median(values):.3f}{spread}"


def _notes(rounds: dict[int, Figures], bound: int) -> tuple[str, ...]:
    scans = next(iter(rounds.values()))["fits"][TRAINED]["scans"]
    tuned = [one["fits"][TRAINED]["scores"]["tuned_hu_native"] for one in rounds.values()]
    both = next(iter(rounds.values()))["fits"]
    dice_all, dice_sample = (both[name]["scores"]["dice_best_patterns"] for name in (ALL, TRAINED))
    return (
        f"A chunk is 16 MiB of float32 rows; {bound} chunks are the torch backend's {PEAK_CHUNKS} and {READ_CHUNKS} "
        "for reading from Zarr. Memory is each rank's VmHWM above its VmRSS before, after free memory was given back.",
        f"Each seed has {scans['train']} training scans, which patterns are made of, and {scans['test']} held-out "
        "ones, all lung voxels of which are scored together; lesions are the phantoms' own masks, centrilobular and "
        "paraseptal, brought into each space by the nearest voxel.",
        "AUPRC of one pattern: voxels by how much nearer its centroid is than the next other one. Of the patterns by "
        "lesion share: as many levels as patterns. Of HU: every threshold.",
        f"Best HU threshold on train at the scan's resolution: {', '.join(f'{value:.0f}' for value in tuned)}.",
        f"First seed, Dice of the patterns by lesion share: {dice_all:.3f} of all voxels, {dice_sample:.3f} of the "
        "sample.",
        "Times say something only where the load, in the last line, is no more than the cores.",
        *(["One seed: there is no spread."] if len(rounds) == 1 else []),
    )
