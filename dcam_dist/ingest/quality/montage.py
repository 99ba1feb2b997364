"""A small picture of a case: two coronal planes, an axial and a sagittal one, with the lungs outlined.

All cases are drawn at one scale on one canvas, so that the pictures of a page line up and can be compared by eye. A
case that is too large for its canvas is drawn smaller.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcam_dist.cohort import VolumeLevels
from dcam_dist.types import Geometry

MONTAGE = "montage.webp"
"""Name of the picture in the case's folder."""
WIDTHS_PX = (132, 132, 132, 104)
"""Of the coronal planes, the axial and the sagittal one."""
HEIGHT_PX = 128
MM_PER_PX = 2.4  # 317 mm across, 307 mm high: nearly all adults' lungs
WINDOW_HU = (-1350.0, 150.0)
"""The usual lung window: level −600, width 1500."""
OUTLINES = ((1, (86, 180, 233)), (2, (230, 159, 0)))
"""The right lung sky blue, the left lung orange: told apart with every common colour-vision deficiency."""
MOST_BYTES = 10_000
QUALITIES = (72, 60, 48, 36, 24, 12, 1)

# The axis cut (z, y, x) and how much of the lungs, by volume, lies before the plane: an anterior and a posterior
# coronal plane, the axial one in the middle, and a sagittal one through the right lung.
_CUTS = ((1, 0.3), (1, 0.6), (0, 0.5), (2, 0.25))

Plane = tuple[NDArray[np.int16], NDArray[Any], tuple[float, float]]
"""HU and mask (R, C), and the size of a pixel down and across in millimetres."""


def montage_of(levels: VolumeLevels, native: Geometry) -> bytes:
    """The picture of a case that is about to be stored.

    Args:
        levels: The case's volumes.
        native: Geometry of the native crop.

    Returns:
        A WebP image of at most ``MOST_BYTES`` on all but pure noise; the same volumes give the same bytes.
    """
    return montage_of_scan(levels.native_hu_DHW, levels.native_mask_DHW, native)


def montage_of_scan(hu_DHW: NDArray[np.int16], mask_DHW: NDArray[Any] | None, geometry: Geometry) -> bytes:
    """The picture of any canonical volume, as ``montage_of``; without a mask the planes are chosen by place alone.

    Args:
        hu_DHW: HU on canonical axes.
        mask_DHW: 0 outside, 1 right lung, 2 left lung; the same shape.
        geometry: Of both.
    """
    planes = [_cut(hu_DHW, mask_DHW, geometry, axis, share) for axis, share in _CUTS]
    scale = max(MM_PER_PX, *(_needed(plane, width) for plane, width in zip(planes, WIDTHS_PX, strict=True)))
    canvas = Image.new("RGB", (sum(WIDTHS_PX), HEIGHT_PX))
    left = 0
    for plane, width in zip(planes, WIDTHS_PX, strict=True):
        panel = _draw(plane, scale)
        canvas.paste(panel, (left + (width - panel.width) // 2, (HEIGHT_PX - panel.height) // 2))
        left += width
    return _encode(canvas)


def _cut(
    hu_DHW: NDArray[np.int16], mask_DHW: NDArray[Any] | None, geometry: Geometry, axis: int, share: float
) -> Plane:
    """One plane as a reader expects it: the patient's right on the left, anterior up or on the left, head up."""
    index = _plane_index(hu_DHW.shape, mask_DHW, axis, share)
    hu_RC = np.take(hu_DHW, index, axis)
    mask_RC = np.zeros(hu_RC.shape, np.uint8) if mask_DHW is None else np.take(mask_DHW, index, axis)
    down_mm, across_mm = (step for other, step in enumerate(geometry.spacing_mm) if other != axis)
    return (hu_RC, mask_RC, (down_mm, across_mm)) if axis == 0 else (hu_RC[::-1], mask_RC[::-1], (down_mm, across_mm))


def _plane_index(shape: tuple[int, ...], mask_DHW: NDArray[Any] | None, axis: int, share: float) -> int:
    if mask_DHW is None or not mask_DHW.any():
        return min(int(shape[axis] * (0.5 if axis == 1 else share)), shape[axis] - 1)
    thin = tuple(slice(None) if other == axis else slice(None, None, 2) for other in range(3))
    others = tuple(other for other in range(3) if other != axis)
    area = (mask_DHW[thin] != 0).sum(axis=others)
    if not area.any():  # lungs so thin that every second voxel misses them
        area = (mask_DHW != 0).sum(axis=others)
    return int(np.searchsorted(np.cumsum(area), share * area.sum()))


def _needed(plane: Plane, width_px: int) -> float:
    (rows, columns), (down_mm, across_mm) = plane[0].shape, plane[2]
    return float(max(rows * down_mm / HEIGHT_PX, columns * across_mm / width_px))


def _draw(plane: Plane, mm_per_px: float) -> Image.Image:
    hu_RC, mask_RC, (down_mm, across_mm) = plane
    size = (_pixels(hu_RC.shape[1] * across_mm, mm_per_px), _pixels(hu_RC.shape[0] * down_mm, mm_per_px))
    low, high = WINDOW_HU
    grey_RC = (np.clip((hu_RC.astype(np.float32) - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)
    pixels_RC3 = np.repeat(_resized(grey_RC, size)[..., None], 3, axis=2)
    for label, colour in OUTLINES:
        inside_RC = _resized((mask_RC == label).astype(np.uint8) * 255, size) >= 128
        pixels_RC3[_edge(inside_RC)] = colour
    return Image.fromarray(pixels_RC3)


def _pixels(length_mm: float, mm_per_px: float) -> int:
    return max(1, round(length_mm / mm_per_px))


def _resized(values_RC: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pillow averages over the area of a pixel when it makes a picture smaller."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(values_RC)).resize(size, Image.Resampling.BICUBIC))


def _edge(inside_RC: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a region that have a neighbour outside it; the picture's border is outside."""
    around = np.pad(inside_RC, 1)
    return inside_RC & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])


def _encode(canvas: Image.Image) -> bytes:
    encoded = b""
    for quality in QUALITIES:
        stream = io.BytesIO()
        canvas.save(stream, "WEBP", quality=quality, method=6, use_sharp_yuv=True)
        encoded = stream.getvalue()
        if len(encoded) <= MOST_BYTES:
            break
    return encoded
