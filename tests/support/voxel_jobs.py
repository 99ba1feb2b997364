"""Run alone or under torchrun: texture patterns of a run, the same whatever the number of ranks.

Arguments: OUT RUN COHORT [SETTING | case_id | cut]...; with ``cut`` the last rank's features lose a byte before they
are clustered. Leaves what ``cluster_voxels`` writes under OUT. Errors are told as on
the command line.
"""

import os
import sys

from support.cohorts import settings

from dcam_dist.__main__ import _report
from dcam_dist.analysis.patterns import cluster_voxels
from dcam_dist.config import load_config
from dcam_dist.errors import DcamError
from dcam_dist.launchers import read_launch
from dcam_dist.training import voxel_rows

PATTERNS = ["patterns.clusters=5", "patterns.voxels_per_case=700", "clustering.iterations=100", "seed=4"]


def cut_features_of_last_rank() -> None:
    extract, launch = voxel_rows._extract, read_launch()

    def cut(*arguments):
        rows = extract(*arguments)
        if launch.rank == launch.world_size - 1:
            file = rows.folder / "c" / "0" / "0"
            os.truncate(file, file.stat().st_size - 1)
        return rows

    voxel_rows._extract = cut


def main(out: str, run: str, cohort: str, *more: str) -> int:
    if "cut" in more:
        cut_features_of_last_rank()
        more = tuple(one for one in more if one != "cut")
    changes, cases = ([one for one in more if ("=" in one) is setting] for setting in (True, False))
    config = load_config(None, [*settings(cohort), *PATTERNS, *changes])
    try:
        cluster_voxels(run, out, config, cohort=cohort, case_ids=cases)
    except DcamError as error:
        return _report(error, read_launch())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
