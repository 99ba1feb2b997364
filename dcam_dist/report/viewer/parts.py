"""The viewer as parts of a page."""

from collections.abc import Sequence

from dcam_dist.maps.naming import ClassNames
from dcam_dist.report.viewer.case import ViewerCase, ViewerParts


def viewer_parts(cases: Sequence[ViewerCase], names: ClassNames, *, budget_bytes: int = 15_000_000) -> ViewerParts:
    """The viewer of some cases."""
    return ViewerParts('<section id="viewer"></section>', "", "")
