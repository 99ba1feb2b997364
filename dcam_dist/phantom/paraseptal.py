"""Paraseptal emphysema: rows of bullae against the pleura and the fissures."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dcam_dist.phantom.fields import Field, Frame

# Rows, bullae in a row, diameters in millimetres.
ROWS: Final[Mapping[str, tuple[int, tuple[int, int], tuple[float, float]]]] = {
    "absent": (0, (0, 0), (0.0, 0.0)),
    "mild": (3, (3, 6), (6.0, 11.0)),
    "substantial": (7, (5, 9), (8.0, 25.0)),
}
WALL_MM = 1.0


def bullae(frame: Frame, lungs: Field, fissures: Field, paraseptal: str, rng: np.random.Generator) -> Field:
    """Distance field of the bullae, 100 far away from them, shape ``(D, H, W)``.

    Args:
        frame: The voxels around the lungs.
        lungs: Distance field of the lungs.
        fissures: Distance from the fissures, positive.
        paraseptal: One of ``ROWS``.
        rng: The case's paraseptal generator.
    """
    rows, count, diameter = ROWS[paraseptal]
    pleura = np.maximum(lungs, -fissures)  # the lobes: bullae sit on the fissures as on the pleura
    field = np.full(frame.shape, 100.0, dtype=np.float32)
    surface = _surface(frame, lungs, pleura)
    for _ in range(rows):
        radii = rng.uniform(*diameter, rng.integers(count[0], count[1] + 1)) / 2
        for center, radius in zip(_row(frame, pleura, surface, radii, rng), radii, strict=False):
            _carve(field, frame, center, float(radius))
    return field


def _surface(frame: Frame, lungs: Field, pleura: Field) -> NDArray[np.int64]:
    """Voxels just under the pleura or beside a fissure in the upper two thirds of the lungs, ``(N, 3)``."""
    band = float(frame.spacing_mm.max())
    height = np.linspace(0, 1, frame.shape[0])[:, None, None]
    return np.argwhere((lungs < -0.5) & (pleura > -band) & (height > 0.38) & (height < 0.93))


def _row(
    frame: Frame, pleura: Field, surface: NDArray[np.int64], radii: NDArray[np.float64], rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Centres of one row: each bulla touches the one before, follows the pleura and keeps its height."""
    position = frame.origin_mm + surface * frame.spacing_mm
    at = int(rng.integers(len(surface)))
    centers: list[NDArray[np.float64]] = []
    heading = np.zeros(3)
    for step, radius in enumerate(radii):
        if step:
            wanted = float(radii[step - 1] + radius + WALL_MM)
            apart = position - position[at]
            distance = np.linalg.norm(apart, axis=1)
            turn = -0.5 * (apart @ heading) / np.maximum(distance, 1)
            nearest = int(np.argmin(np.abs(distance - wanted) + 0.7 * np.abs(apart[:, 0]) + 4 * turn))
            heading, at = apart[nearest] / max(distance[nearest], 1e-6), nearest
        centers.append(position[at] - 0.85 * radius * _outward(frame, pleura, surface[at]))
    return centers


def _outward(frame: Frame, pleura: Field, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Unit normal of the pleura at a voxel, out of the lung."""
    low = np.maximum(index - 2, 0)
    high = np.minimum(index + 3, frame.shape)
    part = pleura[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    slope = np.array([np.mean(np.diff(part, axis=axis)) for axis in range(3)]) / frame.spacing_mm
    return np.asarray(slope / max(float(np.linalg.norm(slope)), 1e-6))


def _carve(field: Field, frame: Frame, center: NDArray[np.float64], radius: float) -> None:
    reach = radius + 8
    box = frame.box(center - reach, center + reach)
    part = frame.crop(box)
    if not all(part.shape):
        return
    z, y, x = (np.float32(value) for value in center)
    distance = np.sqrt((part.z - z) ** 2 + (part.y - y) ** 2 + (part.x - x) ** 2) - np.float32(radius)
    np.minimum(field[box], distance, out=field[box])
