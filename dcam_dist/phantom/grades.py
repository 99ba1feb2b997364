"""The disease of each case: which grade, which paraseptal class, and the covariates that go with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

# Roughly the shares of a COPDGene-like cohort of current and former smokers. Approximate by intent, not a published
# table: they give a generated cohort the imbalance of a real one.
GRADE_FREQUENCY: Final[Mapping[str, float]] = {
    "absent": 0.32,
    "trace": 0.17,
    "mild": 0.20,
    "moderate": 0.17,
    "confluent": 0.09,
    "advanced destructive": 0.05,
}
# The second Fleischner axis, drawn independently of the grade; approximate as well.
PARASEPTAL_FREQUENCY: Final[Mapping[str, float]] = {"absent": 0.60, "mild": 0.27, "substantial": 0.13}

GRADES: Final = tuple(GRADE_FREQUENCY)
PARASEPTAL: Final = tuple(PARASEPTAL_FREQUENCY)
DRAW_STREAM: Final = 0x6772  # keeps the cohort's draws apart from every case's own generator


@dataclass(frozen=True)
class Disease:
    """What a case suffers from.

    Attributes:
        grade: Centrilobular grade, one of ``GRADES``.
        paraseptal: Paraseptal class, one of ``PARASEPTAL``.
    """

    grade: str
    paraseptal: str

    @property
    def severity(self) -> int:
        """The grade as 0…5."""
        return GRADES.index(self.grade)


def stratified_counts(cases: int, frequency: Mapping[str, float]) -> dict[str, int]:
    """Share ``cases`` out by the largest-remainder (Hamilton) method, so that small cohorts keep the rare classes."""
    quota = np.array(list(frequency.values())) * cases / sum(frequency.values())
    count = np.floor(quota).astype(int)
    order = np.argsort(-(quota - count), kind="stable")
    count[order[: cases - count.sum()]] += 1
    return dict(zip(frequency, count.tolist(), strict=True))


def draw_diseases(cases: int, seed: int) -> list[Disease]:
    """The diseases of a cohort: stratified counts in a seeded order, the two axes shuffled independently."""
    grade_rng, paraseptal_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence((seed, DRAW_STREAM)).spawn(2)
    )
    grade = _shuffled(stratified_counts(cases, GRADE_FREQUENCY), grade_rng)
    paraseptal = _shuffled(stratified_counts(cases, PARASEPTAL_FREQUENCY), paraseptal_rng)
    return [Disease(*pair) for pair in zip(grade, paraseptal, strict=True)]


def draw_covariates(rng: np.random.Generator, disease: Disease) -> dict[str, str | int | float]:
    """Plausible patient data: worse lung function and more smoking with the grade, sex by chance."""
    severity = disease.severity
    fev1 = float(np.clip(93 - 11.5 * severity + rng.normal(0, 13), 14, 130))
    ratio = float(np.clip(0.78 - 0.075 * severity + rng.normal(0, 0.06), 0.22, 0.88))
    return {
        "age": int(np.clip(round(57 + 1.8 * severity + rng.normal(0, 8)), 40, 85)),
        "sex": "F" if rng.random() < 0.47 else "M",
        "pack_years": round(float(np.clip(27 + 5.5 * severity + rng.gamma(3, 5), 10, 150)), 1),
        "fev1_percent": round(fev1, 1),
        "fev1_fvc": round(ratio, 2),
    }


def _shuffled(counts: Mapping[str, int], rng: np.random.Generator) -> list[str]:
    names = [name for name, count in counts.items() for _ in range(count)]
    return [names[index] for index in rng.permutation(len(names))]
