"""Run alone or under a launcher: the contract of the clustering on every rank. Arguments: OUT BACKEND.

Rank 0 leaves ``contract.json`` (what failed in each check, on any rank) and ``fits.npz`` (models and labels) in OUT.
"""

import json
import sys
from pathlib import Path

import numpy as np
from support.cluster_contract import CHECKS, groups, noise, settings

from dcam_dist.clustering import ArrayRows, choose_backend
from dcam_dist.distributed import open_processes, ranks_of, share_notes

DATA = {
    "groups": (groups(), settings()),
    "noise": (noise(), settings(clusters=8, restarts=3)),
    "many": (groups(200_003, 12, 10, 4), settings(clusters=6, restarts=2)),
    "few": (groups(7), settings(clusters=3)),
    "two": (groups(2), settings(clusters=2)),
}
"""The last two leave a rank of three with few rows, or none."""


def main(out: Path, backend: str) -> None:
    with open_processes(60) as context:
        ranks, found, failed = ranks_of(context), {}, {}
        device = context.device if backend == "cuml" else "cpu"

        def fit(features, chosen, seed):
            mine = np.array_split(features, ranks.size)[ranks.rank]
            asked = chosen.model_copy(update={"backend": backend})
            return choose_backend(asked, len(features), device).fit(ArrayRows(mine), chosen, seed, ranks)

        for name, check in CHECKS.items():
            failed |= share_notes({name: problem} if (problem := told(check, fit)) else {}, context)
        for name, (features, chosen) in DATA.items():
            one = fit(features, chosen, 0)
            found[f"{name}/centroids"], found[f"{name}/labels"] = one.model.centroid_KP, one.model.assign(features)
        if context.is_main:
            np.savez(out / "fits.npz", **found)
            (out / "contract.json").write_text(json.dumps({name: failed.get(name, "") for name in CHECKS}))


def told(check, fit) -> str:
    try:
        check(fit)
    except AssertionError as error:
        return (str(error) or "failed").strip()[:500]
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
