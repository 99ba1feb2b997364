"""The cohort: one Zarr 3 group a case, the case table, and volumes streamed from it through Dask."""

from dcam_dist.cohort.check import Fault, Finding, case_whole
from dcam_dist.cohort.root import close_cohort, create_cohort, join_cohort, restore_groups, seal_cohort
from dcam_dist.cohort.store import Cohort, CohortDescription, open_cohort, stored_record
from dcam_dist.cohort.stream import VolumeBatch, stream_batches
from dcam_dist.cohort.validate import ValidationReport, validate
from dcam_dist.cohort.writer import VolumeLevels, write_case

__all__ = [
    "Cohort",
    "CohortDescription",
    "Fault",
    "Finding",
    "ValidationReport",
    "VolumeBatch",
    "VolumeLevels",
    "case_whole",
    "close_cohort",
    "create_cohort",
    "join_cohort",
    "open_cohort",
    "restore_groups",
    "seal_cohort",
    "stored_record",
    "stream_batches",
    "validate",
    "write_case",
]
