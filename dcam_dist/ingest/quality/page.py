"""The quality page: one HTML file that needs nothing else, neither the network nor the cohort beside it.

Everything is escaped by the template engine. The content security policy allows the page's own style and script, by
their hashes, and pictures within the file; nothing else is run or loaded, whatever a case is called.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from dcam_dist.ingest.quality.advice import what_to_do
from dcam_dist.ingest.quality.histogram import Histogram, histogram, kernel_groups
from dcam_dist.ingest.quality.montage import HEIGHT_PX, WIDTHS_PX
from dcam_dist.ingest.quality.outliers import CUT, LEAST_CASES, MEASURES
from dcam_dist.ingest.quality.pictures import data_uri, kept_picture, stored_picture
from dcam_dist.ingest.quality.table import HEADER_FIELDS, MEASURE_FIELDS, Row
from dcam_dist.offline_page import page_environment, policy_hash

UNKNOWN = "not known"
OWN_COLOURS = 3
"""So many kernels have a colour of their own in the histograms; the others share one."""
LISTED_KERNELS = 12
# title, unit, measure, factor to that unit, whether the axis reaches the farthest values
_HISTOGRAMS = (
    ("Lung volume", "L", "volume_ml", 1e-3, False),
    ("Mean HU of the lungs", "HU", "mean_hu", 1.0, False),
    ("LAA-950", "%", "laa950", 1.0, False),
    ("Slice spacing", "mm", "spacing_z_mm", 1.0, True),
)


@dataclass(frozen=True)
class Finding:
    """A line of the table of reasons or flags."""

    code: str
    first: int
    also: int
    advice: str


@dataclass(frozen=True)
class Kernel:
    """A line of the table of kernels; ``group`` is its colour."""

    name: str
    cases: int
    group: int
    laa950: float | None
    mean_hu: float | None


def page_of(rows: Sequence[Row], cohort: Path) -> str:
    """The page.

    Args:
        rows: The cases in the order of the page.
        cohort: Where their pictures are.
    """
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            **_own_files(),
            **_overview(rows),
            cases=((row, _picture(cohort, row), _tokens(row)) for row in rows),
            picture_size=(sum(WIDTHS_PX), HEIGHT_PX),
        )
    )


def _picture(cohort: Path, row: Row) -> str:
    return data_uri(stored_picture(cohort, row.case_id) if row.verdict == "accepted" else kept_picture(row.picture))


@cache
def _environment() -> Environment:
    environment = page_environment(__package__)
    environment.filters["number"] = _number
    return environment


def _own_files() -> dict[str, Any]:
    """Our own style and script, the only text that is not escaped, and the hashes that the policy allows."""
    texts = {name: (Path(__file__).parent / "templates" / f"page.{name}").read_text("utf-8") for name in ("css", "js")}
    hashes = {f"{name}_hash": policy_hash(text) for name, text in texts.items()}
    return {name: Markup(text) for name, text in texts.items()} | hashes  # noqa: S704 - no foreign text


def _overview(rows: Sequence[Row]) -> dict[str, Any]:
    accepted = [row for row in rows if row.verdict == "accepted"]
    kernels = [_kernel(row) for row in accepted]
    group_of = kernel_groups(kernels, OWN_COLOURS)
    return {
        "counts": _counts(rows, accepted),
        "reasons": _reasons(rows),
        "flags": sorted(Counter(flag for row in accepted for flag in row.flags).items(), key=_most_first),
        "kernels": _kernels(accepted, group_of),
        "histograms": _histograms(accepted, group_of),
        "kernel_names": sorted(group_of),
        "measures": MEASURES,
        "measure_fields": MEASURE_FIELDS,
        "header_fields": HEADER_FIELDS,
        "cut": CUT,
        "least_cases": LEAST_CASES,
        "scored": any(row.outlier for row in accepted),
        "plain": sum(row.is_plain for row in rows),
    }


def _counts(rows: Sequence[Row], accepted: Sequence[Row]) -> dict[str, int]:
    return {
        "cases": len(rows),
        "accepted": len(accepted),
        "set aside": len(rows) - len(accepted),
        "outliers": sum(row.is_outlier for row in accepted),
        "flagged": sum(bool(row.flags) for row in accepted),
        "to train": sum(row.split == "train" for row in accepted),
        "to test": sum(row.split == "test" for row in accepted),
    }


def _reasons(rows: Sequence[Row]) -> list[Finding]:
    first = Counter(row.reason for row in rows if row.reason)
    also = Counter(code for row in rows for code in row.also)
    codes = sorted({*first, *also}, key=lambda code: (-first[code], -also[code], code))
    return [Finding(code, first[code], also[code], what_to_do(code)) for code in codes]


def _kernels(accepted: Sequence[Row], group_of: dict[str, int]) -> list[Kernel]:
    cases: dict[str, list[Row]] = {name: [] for name in group_of}
    for row in accepted:
        cases[_kernel(row)].append(row)
    ordered = sorted(cases.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Kernel(name, len(of), group_of[name], _median(of, "laa950"), _median(of, "mean_hu"))
        for name, of in ordered[:LISTED_KERNELS]
    ]


def _histograms(accepted: Sequence[Row], group_of: dict[str, int]) -> list[Histogram]:
    groups = range(max(group_of.values(), default=0) + 1)
    found = (
        histogram(
            title,
            unit,
            [
                [row.measures[name] * scale for row in accepted if name in row.measures and group_of[_kernel(row)] == g]
                for g in groups
            ],
            whole=whole,
        )
        for title, unit, name, scale, whole in _HISTOGRAMS
    )
    return [drawn for drawn in found if drawn is not None]


def _tokens(row: Row) -> Iterator[str]:
    """What the page's filters look for."""
    yield "set-aside" if row.verdict == "set_aside" else "accepted"
    if row.is_outlier:
        yield "outlier"
    if row.flags:
        yield "flagged"
    yield from (f"reason {code}" for code in (row.reason, *row.also) if code)
    yield from (f"flag {flag}" for flag in row.flags)
    if row.verdict == "accepted":
        yield f"kernel {_kernel(row)}"


def _kernel(row: Row) -> str:
    return row.covariates.get("kernel") or UNKNOWN


def _median(rows: Sequence[Row], name: str) -> float | None:
    values = [row.measures[name] for row in rows if name in row.measures]
    return median(values) if values else None


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _number(value: float | None, digits: int = 0) -> str:
    """A number as readers see it, with a true minus sign; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
