"""Run alone or under a launcher: validity of points spread over the ranks. Argument: OUT, for ``RANK.json``."""

import json
import sys
from pathlib import Path

import numpy as np

from dcam_dist.clustering import ArrayRows
from dcam_dist.clustering.torch_silhouette import silhouette
from dcam_dist.clustering.torch_validity import cluster_spread, known
from dcam_dist.distributed import open_processes, ranks_of
from dcam_dist.types import UNASSIGNED

CLUSTERS = 5


def points(n, seed=0):
    """Four groups under the ids 0, 1, 3 and 4, every ninth case without one."""
    rng = np.random.default_rng(seed)
    group = rng.integers(4, size=n)
    label = np.where(np.arange(n) % 9 == 8, UNASSIGNED, np.array([0, 1, 3, 4])[group])
    return (4 * rng.normal(size=(4, 6))[group] + rng.normal(size=(n, 6))).astype(np.float32), label


CASES = {"all pairs": (1501, 10_000), "a sample": (4001, 700), "fewer than ranks": (2, 10), "none": (0, 10)}


def main(out: Path) -> None:
    with open_processes(60) as context:
        ranks, found = ranks_of(context), {}
        for name, (n, most) in CASES.items():
            point_NP, label_N = (np.array_split(table, ranks.size)[ranks.rank] for table in points(n))
            rows, labels = ArrayRows(np.ascontiguousarray(point_NP)), known(label_N)
            spread = cluster_spread(rows, labels, CLUSTERS, ranks, "cpu")
            sampled = silhouette(rows, labels, CLUSTERS, ranks, "cpu", max_cases=most, seed=3)
            found[name] = [sampled, spread.davies_bouldin(), spread.calinski_harabasz()]
        (out / f"{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
