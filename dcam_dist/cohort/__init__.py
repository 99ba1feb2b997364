"""The cohort: one Zarr 3 group a case, the case table, and volumes streamed from it through Dask."""

from dcam_dist.cohort.store import Cohort, CohortDescription, open_cohort
from dcam_dist.cohort.stream import VolumeBatch, stream_batches
from dcam_dist.cohort.writer import (
    VolumeLevels,
    close_cohort,
    create_cohort,
    stored_fingerprint,
    volumes_whole,
    write_case,
)

__all__ = [
    "Cohort",
    "CohortDescription",
    "VolumeBatch",
    "VolumeLevels",
    "close_cohort",
    "create_cohort",
    "open_cohort",
    "stored_fingerprint",
    "stream_batches",
    "volumes_whole",
    "write_case",
]
