"""The quality table: one row a case, accepted or set aside, in the order in which a reader should look at them."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dcam_dist.cohort import Cohort
from dcam_dist.ingest.quality.outliers import CUT, Outlier, outliers
from dcam_dist.types import UNASSIGNED, CaseRecord, QuarantineEntry

Verdict = Literal["accepted", "set_aside"]

HEADER_FIELDS = ("kernel", "slice_thickness_mm", "kvp", "manufacturer", "contrast")
"""Covariates that ingest itself takes from the scans' headers."""
MEASURE_FIELDS = (
    "volume_ml",
    "volume_right_ml",
    "volume_left_ml",
    "right_left_ratio",
    "mean_hu",
    "laa950",
    "perc15",
    "spacing_z_mm",
    "spacing_y_mm",
    "spacing_x_mm",
)
_FORMULA = re.compile("(^|;)( *)(?=[=+\\-@|%＝＋－＠])")
"""Where a spreadsheet may see a formula: at the beginning, or after what is its separator in much of the world."""


@dataclass(frozen=True)
class Row:
    """What is known of one case.

    Attributes:
        verdict: Whether it is in the cohort.
        reason: Reason code of a case set aside, else empty.
        also: Further reason codes.
        detail: What was found, in one line.
        flags: Findings that do not exclude it.
        label: Name of the grade, or empty.
        scan_shape: Voxels along (z, y, x) of the scan, or empty.
        measures: By the names of ``MEASURE_FIELDS``, as far as known.
        covariates: Header fields and further columns of the case table.
        origin: Format of the files, and whether the lung mask was given or computed.
        outlier: Its score within the cohort.
        picture: Of a case set aside, as its entry holds it.
    """

    case_id: str
    verdict: Verdict
    reason: str = ""
    also: tuple[str, ...] = ()
    detail: str = ""
    flags: tuple[str, ...] = ()
    split: str = ""
    label: str = ""
    scan_shape: tuple[int, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    covariates: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    outlier: Outlier | None = None
    picture: str = field(default="", repr=False)

    @property
    def is_outlier(self) -> bool:
        """Whether its score reaches the cut."""
        return self.outlier is not None and self.outlier.score >= CUT

    @property
    def is_plain(self) -> bool:
        """Whether nothing about it calls for a look: accepted, no outlier, no flag."""
        return self.verdict == "accepted" and not self.is_outlier and not self.flags


def rows_of(cohort: Cohort) -> list[Row]:
    """All cases of a cohort: those set aside, by reason; outliers; flagged cases; the others by falling score."""
    scores = outliers([_measures(case) for case in cohort.cases])
    accepted = [
        _accepted(case, score, cohort.description.label_names) for case, score in zip(cohort.cases, scores, strict=True)
    ]
    return sorted([*map(_set_aside, cohort.quarantine), *accepted], key=_urgency)


def table_of(rows: Sequence[Row]) -> str:
    """The rows as CSV. Text that a spreadsheet would take for a formula is led by an apostrophe."""
    further = sorted({name for row in rows for name in row.covariates} - set(HEADER_FIELDS))
    names = list(_cells(Row("", "accepted"), further))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([plain_text(name) for name in names])
    writer.writerows(_cells(row, further).values() for row in rows)
    return stream.getvalue()


def _cells(row: Row, further: Sequence[str]) -> dict[str, str]:
    texts = {
        "case_id": row.case_id,
        "verdict": row.verdict,
        "reason": row.reason,
        "also": " ".join(row.also),
        "detail": row.detail,
        "flags": " ".join(row.flags),
        "split": row.split,
        "label": row.label,
        "format": row.origin.get("format", ""),
        "lung_mask": row.origin.get("lung_mask", ""),
        **{name: row.covariates.get(name, "") for name in HEADER_FIELDS},
    }
    numbers = {
        "outlier_score": f"{row.outlier.score:.2f}" if row.outlier else "",
        "outlier_measure": row.outlier.measure.name if row.outlier else "",
        **{name: _number(row.measures.get(name)) for name in MEASURE_FIELDS},
        **{f"scan_{axis}": str(size) for axis, size in zip("zyx", row.scan_shape or ("", "", ""), strict=True)},
    }
    covariates = {f"covariate_{name}": plain_text(row.covariates.get(name, "")) for name in further}
    return {name: plain_text(text) for name, text in texts.items()} | numbers | covariates


def plain_text(text: str) -> str:
    """Text for a cell of a CSV file: in one line, and nothing that a spreadsheet would take for a formula."""
    printable = one_line(text)
    return printable if _is_number(printable) else _FORMULA.sub(r"\1\2'", printable)


def one_line(text: str) -> str:
    """Text with a blank for every character that is not printed: line breaks and a terminal's commands."""
    return "".join(character if character.isprintable() else " " for character in text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _urgency(row: Row) -> tuple[int, str, float, str]:
    score = row.outlier.score if row.outlier else 0.0
    place = 0 if row.verdict == "set_aside" else 1 if row.is_outlier else 2 if row.flags else 3
    return place, row.reason, -score, row.case_id


def _set_aside(entry: QuarantineEntry) -> Row:
    return Row(
        entry.case_id,
        "set_aside",
        reason=entry.reason,
        also=entry.also,
        detail=entry.detail,
        picture=entry.picture,
    )


def _accepted(case: CaseRecord, outlier: Outlier | None, label_names: Sequence[str]) -> Row:
    return Row(
        case.case_id,
        "accepted",
        flags=case.flags,
        split=case.split,
        label="" if case.label == UNASSIGNED else label_names[case.label],
        scan_shape=case.scan.shape,
        measures=_measures(case),
        covariates=case.covariates,
        origin={name: case.provenance[name] for name in ("format", "lung_mask") if name in case.provenance},
        outlier=outlier,
    )


def _measures(case: CaseRecord) -> dict[str, float]:
    found = {name: case.densitometry[name] for name in MEASURE_FIELDS if name in case.densitometry}
    right, left = found.get("volume_right_ml", 0.0), found.get("volume_left_ml", 0.0)
    ratio = {"right_left_ratio": right / left} if right > 0 and left > 0 else {}
    spacing = zip(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), case.native.spacing_mm, strict=True)
    return found | ratio | dict(spacing)
