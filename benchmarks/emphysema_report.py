"""The page of ``benchmarks.emphysema_patches``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.report import table

SOURCE = (
    "Data: labelled emphysema patches of the test data of the Chest Imaging Platform (The Brigham and Women's "
    "Hospital, Inc.; San José Estépar et al. 2015, Am. J. Respir. Crit. Care Med. 191:A4975), under its licence, a "
    "copy of which is beside this file; the data themselves are not here. For research only."
)


def report(result: Mapping[str, Any]) -> str:
    """The Markdown page."""
    counts = ", ".join(f"{name} {count}" for name, count in result["classes"].items())
    hardware = result["hardware"]
    versions = {name: hardware["versions"].get(name) for name in ("torch", "scikit-learn", "numpy")}
    lines = [
        "# Clusters of labelled emphysema patches",
        "",
        f"{result['patches']} patches: {counts}. Majority share {result['majority_share']:.1%}.",
        "",
        "## Beside the reference figures",
        "",
        _beside_reference(result),
        "",
        "The reference does not state the histogram's range, the axes of its PCA or how unseen patches were drawn. Two "
        "settings that come near it are shown, chosen for that among 2,808 (range, clipping, scaling, axes; one seed); "
        "within each the seed moves ACC as the last table says. No one setting gave both figures of histograms: the "
        "first comes near the regression's, the second near that of k-means.",
        "",
        "## Agreement with the labels: first seed",
        "",
        _agreement(result),
        "",
        "ACC: best matching of clusters to labels, fitted on the same patches. Null: "
        f"{result['permutations']} permutations, each with a matching of its own; interval: {result['resamples']} "
        "bootstrap resamples, matching held fixed. Patches of one patient are not known as such, so the interval is "
        "too narrow by an unknown amount, and a patient may be on both sides of a split.",
        "",
        f"## {result['seeds']} seeds",
        "",
        _over_seeds(result),
        "",
        f"Each is the best of {result['restarts']} starts with at most {result['iterations']} iterations. Silhouette "
        "and Davies-Bouldin in the space that was clustered. Median (lowest … highest).",
        "",
        SOURCE,
        "",
        f"`python -m benchmarks.emphysema_patches`, {result['duration_s']} s on {hardware['cpu']}, "
        f"{hardware['cores']} cores, load {hardware['load_before']} before and {hardware['load_after']} after; "
        + ", ".join(f"{name} {found}" for name, found in versions.items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _beside_reference(result: Mapping[str, Any]) -> str:
    reference = result["reference"]
    laa, *histograms = result["clustered"].values()
    keys = list(reference)

    def both(of: Mapping[str, Any], what: str, form: str) -> str:
        return ", ".join(f"{backend} {_spread(of[backend][what], form)}" for backend in of)

    supervised = list(result["supervised"].values())
    rows = [
        [keys[0], f"{reference[keys[0]]:.1%}", f"{result['majority_share']:.1%}", ""],
        [keys[1], f"{reference[keys[1]]:.1%}", both(laa, "acc", ".1%"), ""],
        [keys[2], f"{reference[keys[2]]:.1%}", *(both(one, "acc", ".1%") for one in histograms)],
        [keys[3], f"{reference[keys[3]]:.2f}", *(both(one, "silhouette", ".3f") for one in histograms)],
        [keys[4], f"{reference[keys[4]]:.2f}", *(both(one, "davies_bouldin", ".3f") for one in histograms)],
        [
            keys[5],
            f"{reference[keys[5]]:.1%}",
            *(
                f"{_spread(one['halves'], '.1%')} over {len(one['halves'])} random halves; fifths in the file's order "
                f"{one['fifths_in_file_order']:.1%}"
                for one in supervised
            ),
        ],
    ]
    return table(["", "reference", *result["supervised"]], rows)


def _agreement(result: Mapping[str, Any]) -> str:
    rows = []
    for name, by_backend in result["clustered"].items():
        for backend, found in by_backend.items():
            one = found["first_seed"]
            low, high = one["interval"]
            null = f"{one['null_mean']:.1%}, {one['null_p95']:.1%}"
            scores = [f"{one['ari']:.3f}", f"{one['nmi']:.3f}"]
            acc = f"{one['acc']:.1%} ({low:.1%} … {high:.1%})"
            rows.append([name, backend, acc, null, _p(one["p_value"], result["permutations"]), *scores])
    return table(["space", "backend", "ACC (95 % interval)", "null: mean, 95th percentile", "p", "ARI", "NMI"], rows)


def _over_seeds(result: Mapping[str, Any]) -> str:
    rows = [
        [name, backend, _spread(found["acc"], ".1%"), _spread(found["pairwise_ari"], ".3f")]
        for name, by_backend in result["clustered"].items()
        for backend, found in by_backend.items()
    ]
    return table(["space", "backend", "ACC", "ARI of two seeds"], rows)


def _p(value: float, permutations: int) -> str:
    least = 1 / (1 + permutations)
    return f"{value:.4f}" if value > least else f"≤ {least:.4f}"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{np.median(values):{form}} ({min(values):{form}} … {max(values):{form}})"
