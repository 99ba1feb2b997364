"""What is known of the cases beside their clusters, as columns that can be described and tested."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.columns import as_number, is_missing, typed
from dcam_dist.report.acquisition import (
    KERNEL,
    acquisition_values,
    is_acquisition,
    kernel_families,
    role_of,
    shared_levels,
)
from dcam_dist.types import CaseRecord

# field of the densitometry, title, unit, decimals
DENSITOMETRY = (
    ("laa950", "LAA-950", "%", 1),
    ("laa910", "LAA-910", "%", 1),
    ("laa856", "LAA-856", "%", 1),
    ("perc15", "Perc15", "HU", 0),
    ("mean_hu", "Mean density", "HU", 0),
    ("volume_ml", "Lung volume", "ml", 0),
    ("laa950_upper", "LAA-950, upper third", "%", 1),
    ("laa950_middle", "LAA-950, middle third", "%", 1),
    ("laa950_lower", "LAA-950, lower third", "%", 1),
    ("laa950_difference", "LAA-950, upper − lower", "%", 1),
    ("laa950_core", "LAA-950, core", "%", 1),
    ("laa950_peel", "LAA-950, peel", "%", 1),
    ("laa950_peel_difference", "LAA-950, peel − core", "%", 1),
    ("laa950_regions_sd", "LAA-950, SD over regions", "%", 1),
    ("laa950_cluster_d", "Exponent D of the clusters", "", 2),
)


@dataclass(frozen=True, eq=False)
class Variable:
    """One column.

    Attributes:
        title: Its name for people; may be any text.
        unit: Of numbers; may be empty.
        digits: Decimals that are shown.
        values_N: Float with NaN, or text with ``""``, where a case has none; what is tested.
        of_patient: Whether it says something of patients, so that figures of one or two cases are not shown.
    """

    title: str
    unit: str
    digits: int
    values_N: NDArray[Any]
    of_patient: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it is numbers."""
        return self.values_N.dtype.kind == "f"

    @property
    def shown_N(self) -> NDArray[Any]:  # noqa: N802 - an array, like the others
        """The same as it may be shown: a level of one or two cases is not named."""
        return self.values_N if self.numeric else shared_levels(self.values_N)


@dataclass(frozen=True, eq=False)
class Variables:
    """The columns of some cases.

    Attributes:
        densitometry: As ingest measured it.
        covariates: Of the case table and the headers, those of the acquisition left out.
        acquisition: How the scans were made.
        left_out: Columns that are not looked at, and why.
    """

    densitometry: tuple[Variable, ...]
    covariates: tuple[Variable, ...]
    acquisition: tuple[Variable, ...]
    left_out: tuple[str, ...]


def variables_of(cases: Sequence[CaseRecord]) -> Variables:
    """The columns of some cases; one without any value is none."""
    names = sorted({name for case in cases for name in case.covariates})
    columns = {name: [case.covariates.get(name, "").strip() for case in cases] for name in names}
    patient_N = [case.patient_key for case in cases]
    found = {name: column(name, texts, patient_N) for name, texts in columns.items() if not is_acquisition(name)}
    return Variables(
        densitometry=tuple(_densitometry(cases)),
        covariates=tuple(variable for variable, _ in found.values() if variable is not None),
        acquisition=(*_acquisition(columns), *_spacings(cases)),
        left_out=tuple(f"{name} ({why})" for name, (variable, why) in found.items() if variable is None),
    )


def column(name: str, texts: Sequence[str], patient_N: Sequence[str]) -> tuple[Variable | None, str]:
    """A column of texts as numbers or categories, as ``associate`` takes it; or ``None`` and why it is neither.

    Names, dates and free text have no place in a report. Of a category every level counts in a test, also one that a
    single case has.
    """
    found, note = typed(name, "cohort", texts, patient_N)
    if found is None:
        return None, note
    if found.kind == "numeric":
        return Variable(name, "", decimals(found.values_N), found.values_N, of_patient=True), ""
    return Variable(name, "", 0, np.array([_level(text) for text in texts]), of_patient=True), ""


def _level(text: str) -> str:
    number = as_number(text)
    return "" if is_missing(text) else text.strip() if number is None else f"{number:g}"


def _acquisition(columns: Mapping[str, Sequence[str]]) -> Iterator[Variable]:
    """Columns of the acquisition, none left out; after a kernel its families, where they are fewer."""
    for name, texts in columns.items():
        values_N: NDArray[Any] | None = acquisition_values(texts) if is_acquisition(name) else None
        if values_N is None:
            continue
        found = Variable(name, "", decimals(values_N) if values_N.dtype.kind == "f" else 0, values_N)
        yield found
        if role_of(name) == KERNEL and not found.numeric:
            families_N = kernel_families(values_N)
            if 1 < len(set(families_N.tolist()) - {""}) < len(set(values_N.tolist()) - {""}):
                yield Variable(f"{name}, family", "", 0, families_N)


def decimals(values_N: NDArray[np.float64]) -> int:
    """So many that values of a column can be told apart, and no more."""
    spread = float(np.nanmax(values_N) - np.nanmin(values_N))
    return next((digits for digits, from_here_on in enumerate((50.0, 5.0, 0.5)) if spread >= from_here_on), 3)


def _densitometry(cases: Sequence[CaseRecord]) -> list[Variable]:
    found = []
    for field, title, unit, digits in DENSITOMETRY:
        values_N = np.array([case.densitometry.get(field, np.nan) for case in cases], dtype=np.float64)
        if np.isfinite(values_N).any():
            found.append(Variable(title, unit, digits, values_N))
    return found


def _spacings(cases: Sequence[CaseRecord]) -> tuple[Variable, ...]:
    spacing_N3 = np.array([case.native.spacing_mm for case in cases], dtype=np.float64).reshape(-1, 3)
    return (
        Variable("distance of slices", "mm", 2, spacing_N3[:, 0]),
        Variable("pixel spacing", "mm", 2, spacing_N3[:, 2]),
    )
