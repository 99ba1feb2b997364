"""The scanner's field of view, and lungs that reach its lateral edge.

Reconstruction circles and small fields of view can cut the skin, even the lung. What lies outside was never measured:
it is no lung, and it does not open the chest.
"""

import numpy as np
from numpy.typing import NDArray

PADDING_HU = -900
"""What marks the outside of the field of view is at most this dense."""

Plane = NDArray[np.bool_]


def seen_of(lowest_HW: NDArray[np.int16], highest_HW: NDArray[np.int16]) -> Plane:
    """Where the scanner has measured: all but the air at the ends of the rows that is the same in every slice.

    Args:
        lowest_HW: Lowest HU of each column of voxels along z.
        highest_HW: Highest HU of each.

    Returns:
        True within the field of view; all True when nothing tells it from the rest.
    """
    constant = (lowest_HW == highest_HW) & (lowest_HW <= PADDING_HU)
    from_right = np.logical_and.accumulate(constant, axis=1)
    from_left = np.logical_and.accumulate(constant[:, ::-1], axis=1)[:, ::-1]
    seen: Plane = ~(from_right | from_left)
    return seen if seen.any() else np.ones_like(seen)


def open_edges(tissue_DHW: NDArray[np.bool_], seen_HW: Plane) -> NDArray[np.bool_]:
    """The lateral edge of the field of view, except between two pieces of tissue that lie on it.

    Air at the edge with tissue before and behind it on that same edge is inside a body that the edge cuts.

    Args:
        tissue_DHW: The body's tissue.
        seen_HW: The field of view.

    Returns:
        The voxels through which air at the edge hangs together with the air outside, shape (D, H, W).
    """
    opening = np.zeros_like(tissue_DHW)
    rows = np.flatnonzero(seen_HW.any(axis=1))
    first = seen_HW[rows].argmax(axis=1)
    last = seen_HW.shape[1] - 1 - seen_HW[rows, ::-1].argmax(axis=1)
    for columns in (first, last):
        edge = tissue_DHW[:, rows, columns]
        before = np.logical_or.accumulate(edge, axis=1)
        behind = np.logical_or.accumulate(edge[:, ::-1], axis=1)[:, ::-1]
        opening[:, rows, columns] |= ~edge & ~(before & behind)
    return opening
