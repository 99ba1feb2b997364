"""A 3D viewer of CT and maps within an HTML page, offline: NiiVue, and the volumes in the page itself."""

from dcam_dist.report.viewer.case import ViewerCase, ViewerParts
from dcam_dist.report.viewer.page import write_view
from dcam_dist.report.viewer.parts import viewer_parts

__all__ = ["ViewerCase", "ViewerParts", "viewer_parts", "write_view"]
