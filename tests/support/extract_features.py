"""Run under torchrun: rank 0 saves the features of a run's training cases. Arguments: RUN OUT.npy."""

import sys

import numpy as np

from dcam_dist.cohort import open_cohort
from dcam_dist.distributed import open_processes
from dcam_dist.runs import restore_run
from dcam_dist.training import extract_features

run = restore_run(sys.argv[1])
cohort = open_cohort(run.config.data.cohort)
with open_processes() as context:
    ids = [case.case_id for case in cohort.split("train")]
    table = extract_features(run.network, cohort, ids, run.config.data, context)
    if context.rank == context.world_size - 1:
        assert table.case_id_N == tuple(ids)
        np.save(sys.argv[2], table.features_NC)
