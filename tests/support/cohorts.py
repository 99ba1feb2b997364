"""Cohorts of two ellipsoid lungs whose upper halves darken with the grade: quick to write, and a signal to find."""

from pathlib import Path

import numpy as np

from dcam_dist.cohort import CohortDescription, VolumeLevels, close_cohort, create_cohort, write_case
from dcam_dist.config import GridConfig
from dcam_dist.config.schema import FLEISCHNER_GRADES
from dcam_dist.metrics import densitometry
from dcam_dist.types import UNASSIGNED, CaseRecord, Geometry

SHAPE = (16, 32, 32)
BASELINE_SHAPE = (32, 32, 32)
"""The baseline's deepest normalization would see 16 values on the smaller grid."""


def make_cohort(
    path: Path, cases: int, *, labelled: bool = True, tested: bool = True, seed: int = 0, shape=SHAPE
) -> Path:
    """Every third case is a test case, or none; grades go round, so that both splits have grades in common."""
    create_cohort(path, CohortDescription(GridConfig(shape=shape), FLEISCHNER_GRADES))
    records = []
    for index in range(cases):
        grade = (index + index // len(FLEISCHNER_GRADES)) % len(FLEISCHNER_GRADES)
        hu, mask = make_volume(grade, np.random.default_rng([seed, index]), shape)
        mask = mask.astype(np.uint8)
        mask[..., shape[2] // 2 :] *= 2  # the patient's left lung
        geometry = Geometry.from_matrix(shape, np.diag([8.0, 8.0, 12.0, 1.0]))
        record = CaseRecord(
            case_id=f"case{index:03d}",
            patient_key=f"patient{index:03d}",
            split="test" if tested and index % 3 == 2 else "train",
            label=grade if labelled else UNASSIGNED,
            scan=geometry,
            native=geometry,
            grid=geometry,
            covariates={"kernel": "B"},
            densitometry={
                name: value for name, value in densitometry(hu, mask, geometry).items() if np.isfinite(value)
            },
        )
        write_case(path, record, VolumeLevels(hu, mask, hu, mask))
        records.append(record)
    close_cohort(path, records, [])
    return path


def make_volume(grade, rng, shape=SHAPE):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    mask = np.zeros(shape, dtype=bool)
    for side in (-0.45, 0.45):
        mask |= (x - side) ** 2 / 0.16 + y**2 / 0.6 + z**2 / 0.8 < 1
    lungs = -860 + rng.normal(0, 20, shape) - 18 * grade * (z > 0)
    return np.where(mask, lungs, 30 + rng.normal(0, 20, shape)).astype(np.int16), mask


def settings(cohort: Path, **overrides: object) -> list[str]:
    """Overrides for a training that takes seconds."""
    values = {
        "data.cohort": cohort,
        "grid.shape": list(SHAPE),
        "network.filters": 4,
        "clustering.clusters": 3,
        "clustering.pca_components": 4,
        "training.epochs": 2,
        "training.batch_size": 4,
        "evaluation.permutations": 50,
        "evaluation.bootstrap": 50,
        **{key.replace("__", "."): value for key, value in overrides.items()},
    }
    return [f"{key}={value}" for key, value in values.items()]


def damage_case(cohort: Path, case_id: str, kind: str) -> None:
    """Damage the stored training grid of a case: ``flip``, ``truncate``, ``zeros``, ``empty`` or ``delete``."""
    shard = cohort / "cases" / case_id / "1" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    if kind == "delete":
        shard.unlink()
    elif kind == "flip":
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    else:
        shard.write_bytes({"truncate": content[: len(content) // 2], "zeros": bytes(len(content)), "empty": b""}[kind])
