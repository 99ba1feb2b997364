"""k-means of 10⁶ rows by two ranks of ours against scikit-learn: the bound alone, of ``benchmarks.clustering``.

    python -m benchmarks run clustering_bound --out DIR [--profile cpu|cpu-smoke]

The same contenders, rows, first centroids and iterations, in a few minutes instead of most of an hour.
"""

from dataclasses import replace

from benchmarks.clustering import bounds_on_time
from benchmarks.clustering_cases import FULL, OURS, SKLEARN, SKLEARN_IN_PLACE, SMOKE, contenders
from benchmarks.clustering_samples import Found, measure
from benchmarks.harness import Measured, Options


def clustering_bound(options: Options) -> Measured:
    """Ours and both ways of scikit-learn, in turns."""
    plan, found = SMOKE if options.smoke else FULL, Found()
    rows = plan.rows[-2]
    for clusters in plan.clusters:
        size = {"rows": rows, "channels": plan.channels, "clusters": clusters, "seed": options.seed}
        cases = {name: replace(contenders()[name], **size) for name in (OURS, SKLEARN, SKLEARN_IN_PLACE)}
        found |= measure((cases, plan.sessions, True), plan, options)
    return Measured(
        title=f"k-means of {rows:,} rows: two ranks of ours against scikit-learn",
        config={"rows": rows, "channels": plan.channels, "clusters": plan.clusters, "iterations": plan.iterations[1]},
        series=tuple(samples.seconds(f"{name}, k {k}") for (name, _, _, k), samples in found.items()),
        targets=tuple(bounds_on_time(found, plan)),
        notes=(
            f"{OURS}: two processes of one thread, over gloo; scikit-learn: one of two threads.",
            "Everybody starts from the same centroids; nobody converges. What each does, and the other sizes: "
            "[clustering](../clustering/clustering.md).",
        ),
    )
