"""Run alone or under torchrun: texture patterns of a run, the same whatever the number of ranks.

Arguments: OUT RUN COHORT [SETTING | case_id]...; leaves what ``cluster_voxels`` writes under OUT. Errors are told as on
the command line.
"""

import sys

from support.cohorts import settings

from dcam_dist.__main__ import _report
from dcam_dist.analysis.patterns import cluster_voxels
from dcam_dist.config import load_config
from dcam_dist.errors import DcamError
from dcam_dist.launchers import read_launch

PATTERNS = ["patterns.clusters=5", "patterns.voxels_per_case=700", "clustering.iterations=100", "seed=4"]


def main(out: str, run: str, cohort: str, *more: str) -> int:
    changes, cases = ([one for one in more if ("=" in one) is setting] for setting in (True, False))
    config = load_config(None, [*settings(cohort), *PATTERNS, *changes])
    try:
        cluster_voxels(run, out, config, cohort=cohort, case_ids=cases)
    except DcamError as error:
        return _report(error, read_launch())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
