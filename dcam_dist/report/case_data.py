"""The cases as data of the page's script: the scatter plot and the list of cases are drawn from it."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from dcam_dist.evaluation.association.columns import OTHER
from dcam_dist.report.acquisition import shared_levels
from dcam_dist.report.scatter import Plane
from dcam_dist.report.study import Study

MOST_KERNELS = 7
"""As many as there are colours; rarer kernels share the last."""
SHAPES = (
    "M-1 0A1 1 0 1 0 1 0A1 1 0 1 0 -1 0Z",
    "M-0.9 -0.9H0.9V0.9H-0.9Z",
    "M0 -1.15L1.1 0.85H-1.1Z",
    "M0 -1.3L1.15 0L0 1.3L-1.15 0Z",
    "M-0.4 -1.15H0.4V-0.4H1.15V0.4H0.4V1.15H-0.4V0.4H-1.15V-0.4H-0.4Z",
    "M0 1.15L1.1 -0.85H-1.1Z",
    "M-1.1 0L-0.55 -0.95H0.55L1.1 0L0.55 0.95H-0.55Z",
    "M-1.25 -0.5H1.25V0.5H-1.25Z",
)
"""Marks of the classes as SVG paths around the origin: a second cue beside their colours."""


def case_data(study: Study, planes: Sequence[Plane]) -> dict[str, Any]:
    """Columns of all cases by name, numbers rounded to what is drawn; -1 and null where something is not known."""
    kernels = shared_levels(np.array([case.covariates.get("kernel", "").strip() for case in study.cases])).tolist()
    kernel_names = [name for name, _ in Counter(filter(None, kernels)).most_common()]
    kernel_names.sort(key=lambda name: name == OTHER)
    if len(kernel_names) > MOST_KERNELS:
        kernel_names = [*[name for name in kernel_names if name != OTHER][: MOST_KERNELS - 1], OTHER]
    place = {name: number for number, name in enumerate(kernel_names)}
    row_of = {case_id: row for row, case_id in enumerate(study.placed.case_id_N)}
    rows = [row_of.get(case.case_id) for case in study.cases]
    return {
        "kind": study.names.kind,
        "shapes": list(SHAPES),
        "classes": list(study.names.titles),
        "labels": list(study.cohort.description.label_names) if study.labelled else [],
        "kernels": kernel_names,
        "planes": [
            {"key": plane.key, "title": plane.title, "axes": list(plane.axes), "xy": _points(plane, rows)}
            for plane in planes
        ],
        "id": [case.case_id for case in study.cases],
        "test": [int(case.split == "test") for case in study.cases],
        "class": [int(k) if k >= 0 else -1 for k in study.cluster_N],
        "head": [int(k) if k >= 0 else -1 for k in study.head_N],
        "label": [int(k) if k >= 0 else -1 for k in study.label_N],
        "kernel": [place.get(name, len(kernel_names) - 1) if name else -1 for name in kernels],
        "laa": [_rounded(case.densitometry.get("laa950", np.nan), 1) for case in study.cases],
        "margin": [None if row is None else _rounded(float(study.placed.margin_N[row]), 2) for row in rows],
    }


def inert_json(tree: object) -> Markup:
    """JSON for a ``<script type="application/json">``: no text in it can end the element or begin another."""
    text = json.dumps(tree, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 - no mark of HTML is left in it


def _points(plane: Plane, rows: Sequence[int | None]) -> list[list[float] | None]:
    low, high = plane.points_N2.min(axis=0), plane.points_N2.max(axis=0)
    span = float(max(high - low)) or 1.0
    unit_N2 = (plane.points_N2 - (low + high) / 2) / span
    return [None if row is None else [round(float(value), 4) for value in unit_N2[row]] for row in rows]


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
