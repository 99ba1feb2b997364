"""What the training cases of a run have in common, for whoever judges whether a new scan is like them.

Nothing in it is about a single case: a kernel, maker or thickness of fewer than ``FEWEST`` cases is counted as "other",
and of fewer than ``FEWEST_FOR_RANGES`` cases no range is given, for its ends would be two patients' values.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from dcam_dist.cohort import Cohort
from dcam_dist.config.schema import Section
from dcam_dist.ingest.dicom import known_kernel, known_manufacturer, known_thickness_mm
from dcam_dist.metrics.densitometry import DENSITOMETRY_FIELDS
from dcam_dist.types import CaseRecord

FEWEST, FEWEST_FOR_RANGES = 5, 20
RANGE = (0.05, 0.95)
"""Quantiles of the training cases: of scans like them, one in ten lies outside."""
OTHER = "other"
DIGITS = 4
THICKNESS = "slice_thickness_mm"

Count = Annotated[int, Field(ge=0, le=10**9)]
Word = Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
Counts = Annotated[dict[Word, Count], Field(max_length=100)]


class TrainedOn(Section):
    """A summary of a run's training cases."""

    cases: Count
    """Without those that training set aside."""
    ranges: Annotated[dict[Word, tuple[float, float]], Field(max_length=100)]
    """``RANGE`` of the densitometry, field by field, and of the slice thickness in millimetres, where it is known."""
    kernels: Counts
    """Cases by reconstruction kernel, as far as it is known; likewise the next two."""
    manufacturers: Counts
    slice_thickness_mm: Counts
    lung_masks: Counts
    """Cases by where their lung mask comes from: ``given``, ``computed`` or ``lungmask``."""


def summarize(cohort: Cohort, case_ids: Iterable[str]) -> TrainedOn:
    """Summarize the training cases of a run.

    Raises:
        UsageError: When the cohort lacks one.
    """
    records = [cohort.case(case_id) for case_id in case_ids]
    scanners = [scanner_of(record) for record in records]
    return TrainedOn(
        cases=len(records),
        ranges=_ranges(records, scanners),
        kernels=_counts(scanner.get("kernel", "") for scanner in scanners),
        manufacturers=_counts(scanner.get("manufacturer", "") for scanner in scanners),
        slice_thickness_mm=_counts(scanner.get(THICKNESS, "") for scanner in scanners),
        lung_masks=_counts(record.provenance.get("lung_mask", "") for record in records),
    )


def scanner_of(record: CaseRecord) -> dict[str, str]:
    """How a scan was made, as far as its header or table says it; no free text."""
    given = record.covariates
    found = {
        "kernel": known_kernel(given.get("kernel", "")),
        "manufacturer": known_manufacturer(given.get("manufacturer", "")),
        THICKNESS: known_thickness_mm(given.get(THICKNESS, "")),
    }
    return {name: value for name, value in found.items() if value}


def _counts(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first; an empty one is not known, and not counted."""
    found = Counter(value for value in values if value)
    frequent = {value: count for value, count in found.items() if count >= FEWEST and value != OTHER}
    rest = found.total() - sum(frequent.values())
    ordered = dict(sorted(frequent.items(), key=lambda pair: (-pair[1], pair[0])))
    return {**ordered, OTHER: rest} if rest else ordered


def _ranges(records: Sequence[CaseRecord], scanners: Sequence[Mapping[str, str]]) -> dict[str, tuple[float, float]]:
    measured = {
        name: [record.densitometry[name] for record in records if name in record.densitometry]
        for name in DENSITOMETRY_FIELDS
    }
    measured[THICKNESS] = [float(scanner[THICKNESS]) for scanner in scanners if THICKNESS in scanner]
    ranges = {}
    for name, values in measured.items():
        if len(values) >= FEWEST_FOR_RANGES:
            low, high = (float(f"{value:.{DIGITS}g}") for value in np.quantile(values, RANGE))
            ranges[name] = (low, high)
    return ranges
