"""The page of a report. Everything is escaped by the template engine, and the policy allows our own scripts alone.

Styles and scripts are named by their hashes in the content security policy; pictures are within the file; nothing else
is run or loaded, whatever a case, a kernel or a covariate is called.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from dcam_dist.maps.style import winner_colours
from dcam_dist.offline_page import page_environment, policy_hash
from dcam_dist.report.build import Report
from dcam_dist.report.case_data import SHAPES, inert_json
from dcam_dist.report.legend import map_scale
from dcam_dist.report.steadiness import STABLE, TRUSTED, jaccard_in_words
from dcam_dist.report.words import number, p_value, percent

_TEMPLATES = Path(__file__).parent / "templates"


def render(report: Report) -> str:
    """The page as HTML."""
    styles = [_own("page.css"), class_colours(len(report.classes))]
    scripts = [_own("page.js")]
    if report.viewer is not None:
        styles.append(report.viewer.css)
        scripts.append(report.viewer.script)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            styles=[Markup(text) for text in styles],  # noqa: S704 - our own, and the viewer's, which escapes
            scripts=[Markup(text) for text in scripts],  # noqa: S704
            viewer=None if report.viewer is None else Markup(report.viewer.html),  # noqa: S704
            policy=policy(styles, scripts),
            data=inert_json(report.data),
            scale=map_scale(report.kind, len(report.classes)),
            shapes=SHAPES,
            trusted=TRUSTED,
            stable=STABLE,
        )
    )


def policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """The content security policy: nothing but these styles and scripts, and pictures within the file."""
    style, script = (" ".join(f"'{policy_hash(text)}'" for text in texts) for texts in (styles, scripts))
    return (
        f"default-src 'none'; img-src data:; style-src {style}; script-src {script}; "
        "base-uri 'none'; form-action 'none'"
    )


def class_colours(classes: int) -> str:
    """Style rules that give each class its colour, the one that it has in the maps."""
    rgb_K3 = (255 * winner_colours(classes)[:, :3]).round().astype(int)
    colours = ["#" + "".join(f"{value:02x}" for value in rgb) for rgb in rgb_K3.tolist()]
    named = ";".join(f"--c{k}:{colour}" for k, colour in enumerate(colours))
    return f":root{{{named}}}" + "".join(f".c{k}{{fill:var(--c{k})}}" for k in range(classes))


@cache
def _environment() -> Environment:
    environment = page_environment(__package__)
    environment.filters |= {"number": number, "p_value": p_value, "stays": jaccard_in_words, "percent": percent}
    return environment


def _own(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
