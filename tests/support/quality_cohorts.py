"""Cohorts of which only the tables and the pictures exist: as much as a quality report reads, made in no time."""

import base64
from functools import cache
from pathlib import Path

import numpy as np
from support.cohorts import make_volume

from dcam_dist.cohort import Cohort, CohortDescription
from dcam_dist.cohort.layout import CASES
from dcam_dist.config import GridConfig
from dcam_dist.config.schema import FLEISCHNER_GRADES
from dcam_dist.errors import Reason
from dcam_dist.ingest.quality.montage import MONTAGE, montage_of_scan
from dcam_dist.types import UNASSIGNED, CaseRecord, Geometry, QuarantineEntry

KERNELS = ("B30f", "B50f", "LUNG", "STANDARD", "B70s", "")
REASONS = (Reason.MISSING_SLICES, Reason.TILTED, Reason.NO_LUNGS, Reason.TOO_FEW_SLICES, Reason.LOCALIZER)
HOSTILE = "<script>document.title='run'</script>\"'><img src=x onerror=\"document.title='run'\">"


def table_cohort(path: Path, accepted: int, aside: int, *, seed: int = 0, pictures: int = 5) -> Cohort:
    """Plausible values, one wild case in fifty, and a few pictures used over and over."""
    rng = np.random.default_rng(seed)
    shown = [_picture(grade) for grade in range(pictures)]
    cases = tuple(table_case(f"c{index:04d}", rng, wild=index % 50 == 7) for index in range(accepted))
    entries = tuple(
        _set_aside(f"q{index:04d}", REASONS[index % len(REASONS)], shown[index % len(shown)]) for index in range(aside)
    )
    for index, case in enumerate(cases):
        folder = path / CASES / case.case_id
        folder.mkdir(parents=True)
        (folder / MONTAGE).write_bytes(shown[index % len(shown)])
    return Cohort(path, CohortDescription(GridConfig(), FLEISCHNER_GRADES), cases, entries)


def table_case(case_id: str, rng: np.random.Generator, *, wild: bool = False, **fields: object) -> CaseRecord:
    """One record with values as chest scans have them."""
    step = float(rng.choice([0.625, 1.0, 1.25, 5.0], p=[0.3, 0.4, 0.2, 0.1]))
    geometry = Geometry.from_matrix((round(300 / step), 300, 400), np.diag([0.7, 0.7, step, 1.0]))
    volume, mean = rng.normal(5000, 900) * (0.2 if wild else 1.0), rng.normal(-840, 25)
    known = {
        "patient_key": case_id,
        "split": str(rng.choice(["train", "test"])),
        "label": int(rng.integers(0, 6)) if rng.random() < 0.9 else UNASSIGNED,
        "scan": geometry,
        "native": geometry,
        "grid": geometry,
        "covariates": {"kernel": KERNELS[int(rng.integers(len(KERNELS)))], "kvp": "120", "manufacturer": "siemens"},
        "densitometry": {
            "volume_ml": volume,
            "volume_right_ml": volume * 0.54,
            "volume_left_ml": volume * 0.46,
            "mean_hu": mean,
            "laa950": float(rng.gamma(1.2, 6.0)),
            "perc15": mean - 80,
        },
        "flags": ("thick_slices",) if step == 5.0 else (),
        "provenance": {"format": "dicom", "lung_mask": "computed"},
    }
    return CaseRecord(case_id=case_id, **{**known, **fields})


@cache
def _picture(grade: int) -> bytes:
    shape = (60, 45, 60)
    hu_DHW, mask_DHW = make_volume(grade, np.random.default_rng(grade), shape)
    sides_DHW = mask_DHW.astype(np.uint8) * np.where(np.arange(shape[2]) < shape[2] // 2, 1, 2).astype(np.uint8)
    return montage_of_scan(hu_DHW, sides_DHW, Geometry.from_matrix(shape, np.diag([5.0, 5.0, 5.0, 1.0])))


def _set_aside(case_id: str, reason: Reason, picture: bytes) -> QuarantineEntry:
    kept = base64.b64encode(picture).decode() if reason == Reason.NO_LUNGS else ""
    return QuarantineEntry(case_id, str(reason), "what was found, in a line", picture=kept)
