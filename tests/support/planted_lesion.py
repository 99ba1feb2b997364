"""Chest CTs as DICOM series with one small dark lesion at a known place, the slices turned in one way each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.ct_files import geometry, series, write_image, write_series

from dcam_dist.types import Geometry

MIDDLE_MM = np.array([37.0, -81.5, 412.0])
"""Of the chest; far from the scanner's middle."""
LESION_MM = MIDDLE_MM + np.array([52.0, -17.0, 23.0])
"""In the patient's left lung, in front of its middle and above it."""
LESION_RADIUS_MM = 13.0
DARK = 3
"""The class of ``planted_maps`` that wins where the lung is darker than −900 HU: in the lesion."""


@dataclass(frozen=True)
class Layout:
    """How the slices lie: the columns of ``cosines`` are the directions along a row, down a column, to the next one."""

    cosines: np.ndarray
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    off_middle_mm: tuple[float, float, float]

    @property
    def geometry(self) -> Geometry:
        """Of the slices in ascending order along their normal, the chest off their middle."""
        half_xyz = (np.array(self.shape[::-1]) - 1) / 2 * self.spacing_mm[::-1]
        origin = MIDDLE_MM + self.off_middle_mm - self.cosines @ half_xyz
        return geometry(self.shape, self.spacing_mm, self.cosines, tuple(np.round(origin, 3)))


def turned(x_degrees: float, z_degrees: float) -> np.ndarray:
    """A rotation about z, then about x."""
    x, z = np.radians([x_degrees, z_degrees])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return about_x @ np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])


LAYOUTS = {
    "rows reversed, from the head down": Layout(
        np.diag([1.0, -1.0, -1.0]), (37, 62, 70), (6.5, 4.1, 4.6), (9.0, 6.0, 3.0)
    ),
    "oblique, columns reversed, from the head down": Layout(
        turned(8, -11) @ np.diag([-1.0, 1.0, -1.0]), (43, 75, 61), (5.5, 3.7, 5.3), (-8.0, 5.0, 4.0)
    ),
    "coronal": Layout(np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), (45, 58, 66), (5.0, 4.3, 4.7), (7.0, 3.0, -6.0)),
}


def draw_chest(space: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """HU, and the lungs (0, 1 right, 2 left), of a chest of ellipsoids with the lesion in it."""
    z, y, x = np.indices(space.shape).reshape(3, -1)
    world = (space.matrix @ np.stack([x, y, z, np.ones_like(x)]))[:3].T
    across, deep, high = (world - MIDDLE_MM).T

    def ellipsoid(centre: float, axes: tuple[float, float, float]) -> np.ndarray:
        return ((across - centre) / axes[0]) ** 2 + (deep / axes[1]) ** 2 + (high / axes[2]) ** 2 < 1

    body, right, left = ellipsoid(0, (128, 100, 300)), ellipsoid(-52, (40, 62, 78)), ellipsoid(52, (38, 60, 76))
    hu = np.where(body, 40.0, -1000.0)
    hu[right | left] = -820
    hu[np.linalg.norm(world - LESION_MM, axis=1) < LESION_RADIUS_MM] = -985
    hu += np.random.default_rng(5).normal(0, 8, hu.shape)
    return np.rint(hu).clip(-1024).astype(np.int16).reshape(space.shape), (right + 2 * left).astype(np.uint8).reshape(
        space.shape
    )


def write_scans(root: Path) -> Path:
    """All layouts as series, each in a folder by its number, with a table that gives their lungs too."""
    rows = ["case_id,image,lung_mask,patient_id"]
    for number, layout in enumerate(LAYOUTS.values()):
        hu, lungs = draw_chest(layout.geometry)
        write_series(root / f"ct{number}", series(hu, layout.geometry, patient=f"PATIENT-{number}"))
        write_image(root / f"lungs{number}.nii.gz", lungs, layout.geometry)
        rows.append(f"scan{number},ct{number},lungs{number}.nii.gz,P{number}")
    table = root / "cases.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table
