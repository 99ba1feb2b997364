"""Run on two ranks: the cuML backend on its stand-in, which rank 0 alone may use. Argument: OUT.

Rank 1 has no libraries, or says that its memory is short, where rank 0 has them and enough, and the other way round.
Rank 0 leaves in OUT/said.json which backend fitted how many rows.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from support import cuml_stand_in
from support.cluster_contract import groups, settings

from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.cuml_backend import CumlBackend
from dcam_dist.distributed import open_processes, ranks_of

SHORT = SimpleNamespace(**{**vars(cuml_stand_in), "free_bytes": lambda device: 0})
LIBRARIES = {"stand-in": (cuml_stand_in, None), "short": (SHORT, cuml_stand_in), "broken": (None, cuml_stand_in)}
"""Of each rank."""


def main(out: Path) -> None:
    features, said = groups(), {}
    with open_processes(60) as context:
        ranks = ranks_of(context)
        mine = ArrayRows(np.array_split(features, ranks.size)[ranks.rank])
        for name, each in LIBRARIES.items():
            found = CumlBackend("cpu", each[ranks.rank]).fit(mine, settings(), 0, ranks)
            alone = CumlBackend("cpu", each[0]).fit(ArrayRows(features), settings(), 0, ALONE)
            np.testing.assert_allclose(found.model.centroid_KP, alone.model.centroid_KP, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(found.size_K, alone.size_K)
            said[name] = [found.backend, int(found.size_K.sum())]
        if context.is_main:
            (out / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
