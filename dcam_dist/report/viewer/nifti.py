"""Small volumes as gzipped NIfTI in memory, in RAS order, as browsers and the usual tools read them."""

import gzip
import struct

import numpy as np
from numpy.typing import NDArray

from dcam_dist.types import Geometry

HEADER_BYTES, DATA_OFFSET = 348, 352
_UINT8, _MM, _SCANNER = 2, 2, 1
LEVEL = 7


def nifti_gz(values_DHW: NDArray[np.uint8], geometry: Geometry, *, slope: float, intercept: float) -> bytes:
    """One volume, or several of one space.

    Args:
        values_DHW: uint8, ``(D, H, W)`` or ``(K, D, H, W)``, canonical axes (LPS).
        geometry: Of one volume.
        slope: A value is ``slope`` times what is stored, plus ``intercept``.
        intercept: See ``slope``.

    Returns:
        A NIfTI-1 file; the same input gives the same bytes. Its axes run to the right, to the front and upwards, so
        that an index needs no turning in the browser.
    """
    flipped = np.ascontiguousarray(values_DHW[..., ::-1, ::-1])
    header = _header(flipped.shape, ras_matrix(geometry), slope, intercept)
    return gzip.compress(header + flipped.tobytes(), LEVEL, mtime=0)


def ras_matrix(geometry: Geometry) -> NDArray[np.float64]:
    """From the index ``(x, y, z, 1)`` of a volume whose x and y were flipped to RAS millimetres, (4, 4)."""
    matrix = geometry.matrix
    for axis in (0, 1):
        matrix[:, 3] += (geometry.shape[2 - axis] - 1) * matrix[:, axis]
        matrix[:, axis] *= -1
    ras: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    return ras


def _header(shape: tuple[int, ...], affine: NDArray[np.float64], slope: float, intercept: float) -> bytes:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    sizes = (*shape[::-1], 1, 1, 1, 1)[:7]
    fields = (
        (0, "<i", (HEADER_BYTES,)),
        (40, "<8h", (len(shape), *sizes)),
        (70, "<2h", (_UINT8, 8)),
        (76, "<8f", (1.0, *spacing, 1.0, 0.0, 0.0, 0.0)),
        (108, "<3f", (float(DATA_OFFSET), slope, intercept)),
        (123, "<B", (_MM,)),
        (252, "<2h", (0, _SCANNER)),
        (280, "<12f", tuple(affine[:3].ravel())),
        (344, "<4s", (b"n+1\0",)),
    )
    header = bytearray(DATA_OFFSET)
    for offset, layout, values in fields:
        struct.pack_into(layout, header, offset, *values)
    return bytes(header)
