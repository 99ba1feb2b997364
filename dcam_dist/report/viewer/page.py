"""The viewer alone, as a page of its own beside the maps of a scan."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from dcam_dist.errors import EnvironmentFault
from dcam_dist.maps.naming import ClassNames
from dcam_dist.offline_page import policy_hash, write_page
from dcam_dist.report.viewer.case import ViewerCase
from dcam_dist.report.viewer.parts import HERE, environment, viewer_parts

BUDGET_BYTES = 5_000_000
"""With NiiVue, a page of less than 8 MB."""


def write_view(cases: Sequence[ViewerCase], names: ClassNames, path: Path) -> Path:
    """Write a page that shows some cases and needs nothing else, of less than 8 MB.

    Args:
        cases: At least one; the first is shown at first.
        names: Titles of the classes.
        path: The HTML file; it is the old or the new one, never half of it.

    Raises:
        UsageError: When there are no cases that could be shown in a page of this size.
        EnvironmentFault: When the file cannot be written.
    """
    parts = viewer_parts(cases, names, budget_bytes=BUDGET_BYTES)
    css = (HERE / "templates" / "view.css").read_text("utf-8") + parts.css
    page = environment().get_template("view.html.jinja").render(
        title=cases[0].title if len(cases) == 1 else f"{len(cases)} scans and their maps",
        html=Markup(parts.html),  # noqa: S704 - escaped by its own template
        css=Markup(css),  # noqa: S704 - no foreign text
        script=Markup(parts.script),  # noqa: S704 - no foreign text
        css_hash=policy_hash(css),
        script_hash=policy_hash(parts.script),
    )  # fmt: skip
    try:
        write_page(path, page)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written ({error.strerror})") from None
    return path
