"""Trachea, main bronchi and the first bronchi inside the lungs."""

import numpy as np

from dcam_dist.phantom.build import Build
from dcam_dist.phantom.fields import Field, Frame, Point, paint_tube, tube, tube_box
from dcam_dist.phantom.tissue import AIR_HU, MUSCLE_HU

WALL_MM = 1.8
Tube = tuple[tuple[Point, Point], tuple[float, float]]


def main_airway(build: Build, top_z: float) -> list[Tube]:
    """Trachea and main bronchi as tubes (ends, lumen radii): the part that no lung mask holds."""
    carina = build.carina
    throat = (top_z + 20.0, 0.0, 0.0)
    bronchi: list[Tube] = [((carina, build.hilum(side)), (7.2, 5.6)) for side in (-1, 1)]
    return [((throat, carina), (8.8, 8.8)), *bronchi]


def lobar_bronchi(build: Build) -> list[Tube]:
    """The bronchi of the lobes, tapering into the lungs."""
    tubes: list[Tube] = []
    for side in (-1, 1):
        z, y, x = root = build.hilum(side)
        h = build.height
        tubes += [
            ((root, (z + 0.17 * h, y - 4, x + side * 17)), (4.2, 1.4)),
            ((root, (z - 0.10 * h, y - 30, x + side * 26)), (3.6, 1.2)),
            ((root, (z - 0.24 * h, y + 26, x + side * 24)), (4.4, 1.2)),
        ]
    return tubes


def paint_airway(hu: Field, frame: Frame, tubes: list[Tube], edge_mm: float) -> None:
    """Paint walls, then lumina, so that branches open into each other."""
    for ends, (start, end) in tubes:
        paint_tube(hu, frame, ends, (start + WALL_MM, end + 0.7 * WALL_MM), MUSCLE_HU - 20, edge_mm)
    for ends, radii in tubes:
        paint_tube(hu, frame, ends, radii, AIR_HU, edge_mm)


def clear_of(lungs: Field, frame: Frame, tubes: list[Tube]) -> None:
    """Take tubes and their walls out of the lungs' distance field, in place."""
    for ends, radii in tubes:
        box = tube_box(frame, *ends, max(radii) + 12)
        part = frame.crop(box)
        if all(part.shape):
            outer = (radii[0] + WALL_MM, radii[1] + WALL_MM)
            np.maximum(lungs[box], -tube(part, *ends, outer), out=lungs[box])
