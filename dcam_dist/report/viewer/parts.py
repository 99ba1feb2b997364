"""The viewer as parts of a page: a section, its style, and its script with NiiVue in it."""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from matplotlib.colors import to_hex

from dcam_dist.maps import style
from dcam_dist.maps.naming import ClassNames
from dcam_dist.offline_page import page_environment
from dcam_dist.report.viewer.case import ViewerCase, ViewerParts
from dcam_dist.report.viewer.volumes import HU_FLOOR, HU_STEP, PROBABILITY_STEPS, Volumes, fit_volumes

HERE = Path(__file__).parent
NIIVUE = HERE / "assets" / "niivue.umd.js"
WINDOWS = (
    ("lung", "Lung", *style.CT_WINDOW_HU),
    ("emphysema", "Emphysema", -1050.0, -750.0),
    ("soft", "Soft tissue", -160.0, 240.0),
)


def viewer_parts(cases: Sequence[ViewerCase], names: ClassNames, *, budget_bytes: int = 15_000_000) -> ViewerParts:
    """The viewer of some cases.

    The page is to have the policy ``default-src 'none'; script-src 'sha256-…'; style-src 'sha256-…'; img-src data:``
    with the hashes of ``script`` and ``css`` (NiiVue's letters are a picture within its own file: without ``img-src
    data:`` there are no R and L). It needs no ``'unsafe-eval'``, no ``'unsafe-inline'``, no worker, no ``blob:`` and no
    ``connect-src``: the volumes are text in the page that is never executed, and become arrays in memory, a case at a
    time, when it is looked at. In dark surroundings the section follows ``prefers-color-scheme``.

    Args:
        cases: At least one; the first is shown at first.
        names: Titles of the classes.
        budget_bytes: What the volumes may take in the page; NiiVue's 2.3 MB come on top. The resolution follows.

    Raises:
        UsageError: When there are no cases that could be shown within the budget.
    """
    volumes = fit_volumes(cases, budget_bytes)
    html = environment().get_template("viewer.html.jinja").render(
        names=names,
        windows=WINDOWS,
        ticks=style.scale_ticks(len(names.titles)).values(),
        scale=style.SCALE_LABEL.format(kind=names.kind),
        cases=cases,
        settings=_settings(cases, volumes, names),
        embedded=[[base64.b64encode(part).decode() for part in of.files] for of in volumes],
    )  # fmt: skip
    script = "\n;\n".join(path.read_text("utf-8") for path in (NIIVUE, HERE / "templates" / "viewer.js"))
    return ViewerParts(html, (HERE / "templates" / "viewer.css").read_text("utf-8") + _colours(names), script)


@cache
def environment() -> Environment:
    """The templates; everything is escaped."""
    return page_environment(__package__)


def _settings(cases: Sequence[ViewerCase], volumes: Sequence[Volumes], names: ClassNames) -> dict[str, Any]:
    ticks = style.scale_ticks(len(names.titles))
    colours_N3 = style.map_colours()(np.linspace(0, 1, 256))[:, :3]
    return {
        "kind": names.kind,
        "titles": names.titles,
        "hu": {"floor": HU_FLOOR, "step": HU_STEP},
        "steps": PROBABILITY_STEPS,
        "scale": {"ends": (min(ticks), max(ticks)), "opacity": (0.0, style.OPACITY[1])},
        "heat": np.rint(255 * colours_N3).astype(int).tolist(),
        "winner": np.rint(255 * style.winner_colours(len(names.titles))).astype(int).tolist(),
        "outline": style.OUTLINE,
        "windows": {key: [low_hu, high_hu] for key, _, low_hu, high_hu in WINDOWS},
        "cases": [
            {"id": case.case_id, "title": case.title, "note": case.note, "own": case.cluster, "start": of.start_xyz}
            for case, of in zip(cases, volumes, strict=True)
        ],
    }


def _colours(names: ClassNames) -> str:
    """The legend's colours, over the grey of a lung as in the pictures."""
    bar = style.over_lung(style.map_colours()(np.linspace(0, 1, 33)))
    winners = style.over_lung(style.winner_colours(len(names.titles)))
    rules = [f"#viewer-bar {{ background: linear-gradient(to right, {', '.join(to_hex(colour) for colour in bar)}); }}"]
    rules += [f".viewer-class-{index} {{ background: {to_hex(colour)}; }}" for index, colour in enumerate(winners)]
    return "\n".join(rules) + "\n"
