"""How often ``assign`` flags rows that are like the training rows, and rows that are not.

    python -m benchmarks.outlier_flag --out DIR [--patches emphysema_patches.npz] [--repeats 40] [--seed 0]

Generated rows: six groups in 64 channels with a falling spectrum. Patches: histograms of 20 HU of real, labelled CT
patches, half of them to train, the other half as they are and changed.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.report import table
from dcam_dist.clustering import ALONE, ArrayRows, ClusterModel, choose_backend
from dcam_dist.clustering.outliers import OutlierRule, outlier_rule
from dcam_dist.clustering.placing import place
from dcam_dist.config.schema import ClusteringConfig

LEVELS = (0.05, 0.01)
COUNTS = (60, 120, 250, 500, 2000)
NEW_ROWS, CHANNELS, GROUPS = 2000, 64, 6
EDGES = np.arange(-1100, -399, 20)
SETTINGS = ClusteringConfig(restarts=3)

Rows = NDArray[np.float32]


def generated(train: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Training and new rows of one population, drawn anew at each call."""
    centre_KC = rng.normal(size=(GROUPS, CHANNELS))
    axes_CC, _ = np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))
    spread_C = 1 / np.sqrt(1 + np.arange(CHANNELS))
    both = train + NEW_ROWS
    own = (rng.normal(size=(both, CHANNELS)) * spread_C) @ axes_CC
    rows = (centre_KC[rng.integers(0, GROUPS, both)] + own).astype(np.float32)
    return rows[:train], rows[train:]


def in_sample(rows: Rows, model: ClusterModel, rule: OutlierRule) -> OutlierRule:
    """The rule from the training rows' own distances, for comparison: what leaving each out is for."""
    return OutlierRule(rule.distance_K2, rule.residual_2, np.sort(rule.scores(place(rows, model))))


def flag_rates(train: Rows, new: Sequence[Rows], seed: int) -> Iterator[list[float]]:
    """Flagged share at each level, of each of several sets of new rows; the last one is of the first, in-sample."""
    model = choose_backend(SETTINGS, len(train)).fit(ArrayRows(train), SETTINGS, seed, ALONE).model
    rule, _ = outlier_rule(train, model)
    for rows, used in [*((rows, rule) for rows in new), (new[0], in_sample(train, model, rule))]:
        p_N = used.p_values(place(rows, model))
        yield [float((p_N <= level).mean()) for level in LEVELS]


def generated_table(counts: Sequence[int], repeats: int, seed: int) -> str:
    """Rates by number of training rows, mean over the repeats."""
    rows = []
    for count in counts:
        found = []
        for repeat in range(repeats):
            train, new = generated(count, np.random.default_rng([seed, count, repeat]))
            found.append(list(flag_rates(train, [new], repeat)))
        rows.append([str(count), *_cells(np.array(found)[:, 0]), *_cells(np.array(found)[:, 1])])
    return table(["training rows", *_heads(""), *_heads(", if none were left out")], rows)


CHANGES: dict[str, Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]] = {
    "as they are": lambda hu, _: hu,
    "20 HU denser": lambda hu, _: hu + 20,
    "50 HU denser": lambda hu, _: hu + 50,
    "noise of 50 HU added": lambda hu, rng: hu + rng.normal(0, 50, hu.shape),
    "smoothed (means of 3 × 3)": lambda hu, _: _smoothed(hu),
    "soft tissue (40 ± 20 HU)": lambda hu, rng: rng.normal(40, 20, hu.shape),
}


def patches_table(hu: NDArray[np.float64], repeats: int, seed: int) -> str:
    """Rates of the held-out half of real patches, changed in several ways, mean over random halves."""
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        order = rng.permutation(len(hu))
        half = len(hu) // 2
        held_out = [_histograms(change(hu[order[half:]], rng)) for change in CHANGES.values()]
        found.append(list(flag_rates(_histograms(hu[order[:half]]), held_out, repeat)))
    rates = np.array(found)
    names = [*CHANGES, "as they are, if no training row were left out"]
    return table(["held-out patches", *_heads("")], [[name, *_cells(rates[:, i])] for i, name in enumerate(names)])


def _histograms(hu: NDArray[np.float64]) -> Rows:
    clipped = np.clip(hu, EDGES[0], EDGES[-1] - 1).reshape(len(hu), -1)
    return np.stack([np.histogram(one, EDGES)[0] / one.size for one in clipped]).astype(np.float32)


def _smoothed(hu: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(hu, ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    mean: NDArray[np.float64] = windows.mean(axis=(3, 4))
    return mean


def _heads(what: str) -> list[str]:
    return [f"flagged at {level}{what}" for level in LEVELS]


def _cells(rate_RL: NDArray[np.float64]) -> list[str]:
    return [f"{mean:.4f} ± {error:.4f}" for mean, error in zip(*_mean_and_error(rate_RL), strict=True)]


def _mean_and_error(rate_RL: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rate_RL.mean(axis=0), rate_RL.std(axis=0) / np.sqrt(len(rate_RL))


def report(patches: Path | None, counts: Sequence[int], repeats: int, seed: int) -> str:
    """The page."""
    parts = [
        "# How often rows are flagged as outliers",
        f"Six clusters on {SETTINGS.pca_components} axes; mean ± standard error of {repeats} repeats, seed {seed}.",
        f"## New rows of the training rows' population, generated, {NEW_ROWS} a repeat",
        generated_table(counts, repeats, seed),
    ]
    if patches is not None:
        with np.load(patches, allow_pickle=False) as archive:
            hu = archive["hu"].astype(np.float64)
        parts += [f"## Real patches, {len(hu) // 2} to train", patches_table(hu, repeats, seed)]
    about = machine()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn"))
    command = "python -m benchmarks.outlier_flag --out DIR --patches emphysema_patches.npz"
    parts.append(f"{about['cpu']}, {about['cores']} cores, {packages}. `{command}`")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write ``OUT/outlier_flag.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patches", type=Path)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    text = report(asked.patches, COUNTS, asked.repeats, asked.seed)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "outlier_flag.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
