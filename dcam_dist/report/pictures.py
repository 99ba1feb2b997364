"""A case in one small picture: the coronal CT, and beside it the map of a class."""

import base64
import io

from matplotlib.figure import Figure
from PIL import Image

from dcam_dist.maps import style
from dcam_dist.maps.figure1 import coronal_view
from dcam_dist.maps.scene import Scene

PANEL_PX = 250
QUALITY = 80
_DPI = 170


def case_picture(scene: Scene, class_id: int) -> tuple[str, int, int]:
    """The coronal slice in which a class is strongest: CT at the left, the map over it at the right.

    Returns:
        A data URI of a WebP file, its width and its height in pixels.
    """
    view = coronal_view(scene, class_id)
    height_mm, width_mm = view.size_mm
    height_px = min(2 * PANEL_PX, max(PANEL_PX // 2, round(PANEL_PX * height_mm / width_mm)))
    figure = Figure(figsize=(2 * PANEL_PX / _DPI, height_px / _DPI), dpi=_DPI, facecolor="black")
    panels = [figure.add_axes((left, 0.0, 0.495, 1.0)) for left in (0.0, 0.505)]
    for axes in panels:
        style.empty_panel(axes, height_mm, width_mm)
    style.draw_ct(panels[0], view)
    style.draw_map(panels[1], view, class_id)
    for text, x in (("R", 0), ("L", 1)):
        style.label_panel(panels[0], text, x, 0.5)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    return _webp(drawn)


def _webp(png: io.BytesIO) -> tuple[str, int, int]:
    picture, packed = Image.open(png).convert("RGB"), io.BytesIO()
    picture.save(packed, format="WEBP", quality=QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}", *picture.size
