"""The build of one patient: every size that varies from case to case, and the landmarks that follow from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from dcam_dist.phantom.fields import Point

# Profiles over the height of the lungs (0 the base, 1 the apex), as factors of the size at mid-chest.
CAGE_WIDTH = PchipInterpolator([-0.3, 0.0, 0.3, 0.55, 0.8, 1.0, 1.2], [0.97, 1.0, 1.0, 0.95, 0.83, 0.62, 0.42])
CAGE_DEPTH = PchipInterpolator([-0.3, 0.0, 0.35, 0.6, 0.8, 1.0, 1.2], [0.98, 1.0, 1.0, 0.93, 0.8, 0.58, 0.45])
CAGE_SHIFT_MM = PchipInterpolator([-0.3, 0.35, 0.7, 1.0, 1.2], [0.0, 0.0, 4.0, 14.0, 18.0])
BODY_WIDTH = PchipInterpolator([-0.3, 0.0, 0.4, 0.75, 1.0, 1.2], [0.97, 1.0, 1.01, 1.07, 1.05, 0.92])
BODY_DEPTH = PchipInterpolator([-0.3, 0.0, 0.4, 0.7, 1.0, 1.2], [0.98, 1.0, 1.0, 0.97, 0.8, 0.66])


@dataclass(frozen=True)
class Build:
    """Sizes of one patient, in millimetres.

    Attributes:
        half_width: Of the rib cage at mid-chest, inner surface.
        half_depth: Likewise, front to back.
        height: Of the lungs, base to apex.
        fat: Thickness of the fat under the skin.
        dome_right: Height of the right half of the diaphragm over the base of the lungs.
        dome_left: Height of the left half.
        heart: Size factor of the heart.
        apex: Half the distance of the apices.
        roughness: Amplitude of the random deformation of the lungs' outline.
    """

    half_width: float
    half_depth: float
    height: float
    fat: float
    dome_right: float
    dome_left: float
    heart: float
    apex: float
    roughness: float

    def level(self, z_mm: ArrayLike) -> NDArray[np.float64]:
        """Height over the base of the lungs as a fraction of the lungs' height, limited to the profiles' range."""
        return np.clip(np.asarray(z_mm, dtype=np.float64) / self.height, -0.3, 1.2)

    @property
    def spine_y(self) -> float:
        """Middle of the vertebral bodies."""
        return self.half_depth - 20.0

    @property
    def carina(self) -> Point:
        """Where the trachea divides, ``(z, y, x)``."""
        return 0.63 * self.height, 12.0, 2.0

    def hilum(self, side: int) -> Point:
        """Root of a lung, ``(z, y, x)``; ``side`` is −1 for the right one and +1 for the left one."""
        return (0.52 if side < 0 else 0.545) * self.height, 10.0, side * 42.0


def draw_build(rng: np.random.Generator, hyperinflation: float) -> Build:
    """Draw a build.

    Args:
        rng: The case's anatomy generator; always the same number of draws.
        hyperinflation: 0 for none, 1 for the barrel chest of advanced disease.
    """
    size = rng.normal(1.0, 0.04)
    unit = rng.uniform(-1, 1, 8)
    dome = (54 + 9 * unit[3]) * (1 - 0.5 * hyperinflation)
    return Build(
        half_width=float(np.clip(135 * size + 5 * unit[0], 116, 152)),
        half_depth=float(np.clip(90 * size + 6 * unit[1] + 7 * hyperinflation, 76, 112)),
        height=float(np.clip(242 * size + 14 * unit[2] + 22 * hyperinflation, 210, 285)),
        fat=float(13 + 8 * unit[4]),
        dome_right=float(dome + 6),
        dome_left=float(dome - 6 + 3 * unit[5]),
        heart=float((1.0 + 0.09 * unit[6]) * (1 - 0.1 * hyperinflation)),
        apex=float(46 * size + 3 * unit[7]),
        roughness=2.2,
    )
