"""Centrilobular emphysema: foci in lobule centres, coalescing patches, large destroyed regions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dcam_dist.phantom.fields import Field, Frame, plane_waves

Mask = NDArray[np.bool_]
Range = tuple[float, float]

LOBULE_MM = 11.5  # distance of neighbouring secondary lobules' centres
PLEURA_MM = 4.5


@dataclass(frozen=True)
class Pattern:
    """What a grade looks like.

    Attributes:
        foci: Share of the upper zone that small round foci take.
        diameter_mm: Of the foci.
        patches: Share of the upper zone that irregular coalescent regions take.
        patch_mm: Wavelength of the regions' outline.
        hyperinflation: 0…1, see ``draw_build``.
    """

    foci: Range
    diameter_mm: Range
    patches: Range = (0.0, 0.0)
    patch_mm: float = 40.0
    hyperinflation: float = 0.0


# Shares of the *upper* zone, the most affected one, inside the Fleischner bounds (Lynch et al., Radiology 2015):
# trace < 0.5 %, mild 0.5-5 %, moderate > 5 % of a zone; confluent spans lobules; destructive replaces the lung.
PATTERNS: Final[Mapping[str, Pattern]] = {
    "absent": Pattern((0.0, 0.0), (3.0, 6.0)),
    "trace": Pattern((0.0015, 0.0040), (3.0, 6.0)),
    "mild": Pattern((0.011, 0.040), (3.5, 8.0)),
    "moderate": Pattern((0.075, 0.125), (6.0, 10.0)),
    "confluent": Pattern((0.05, 0.08), (5.0, 10.0), (0.14, 0.22), 42.0, 0.35),
    "advanced destructive": Pattern((0.03, 0.05), (5.0, 10.0), (0.48, 0.66), 85.0, 1.0),
}


def zone_of_slices(lung_D: NDArray[np.int64]) -> NDArray[np.int64]:
    """Zone of each slice, 0 lower, 1 middle, 2 upper: thirds of the lungs' height.

    Args:
        lung_D: Lung voxels in each slice, inferior → superior.
    """
    held = np.flatnonzero(lung_D)
    place = (np.arange(lung_D.size) - held[0]) / (held[-1] - held[0] + 1)
    return np.asarray(np.clip((place * 3).astype(np.int64), 0, 2))


def centrilobular(frame: Frame, lungs: Field, grade: str, rng: np.random.Generator) -> tuple[Field, Field]:
    """Destroyed share of each voxel, 0…1: all of it, and that of the large patches alone; both ``(D, H, W)``.

    Args:
        frame: The voxels around the lungs.
        lungs: Distance field of the lungs.
        grade: One of ``PATTERNS``.
        rng: The case's lesion generator.
    """
    pattern = PATTERNS[grade]
    patch = np.zeros(frame.shape, dtype=np.float32)
    if pattern.patches[1]:
        patch = _patches(frame, lungs, pattern, rng)
    return np.maximum(_foci(frame, lungs, pattern, rng), patch), patch


def _zones(lungs: Field) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Zone of each slice and lung voxels of each zone."""
    lung_D = np.count_nonzero(lungs < 0, axis=(1, 2))
    zone_D = zone_of_slices(lung_D)
    return zone_D, np.bincount(zone_D, lung_D, 3).astype(np.int64)


def _foci(frame: Frame, lungs: Field, pattern: Pattern, rng: np.random.Generator) -> Field:
    share = rng.uniform(*pattern.foci)
    by_zone = share * np.array([rng.uniform(0.12, 0.30), rng.uniform(0.35, 0.60), 1.0])
    centers = _lobule_centers(frame, lungs, rng)
    low, high = pattern.diameter_mm
    radii = (low + (high - low) * rng.beta(1.6, 1.6, len(centers))) / 2
    lesion, flat, weight = _stamp(frame, centers, radii, rng)
    size = np.bincount(lesion, weight > 0.5, len(centers))
    zone_D, zone_voxels = _zones(lungs)
    row = np.rint((centers[:, 0] - frame.origin_mm[0]) / frame.spacing_mm[0]).astype(np.int64)
    zone = zone_D[row.clip(0, zone_D.size - 1)]
    keep = np.zeros(len(centers), dtype=bool)
    for index in range(3):
        here = np.flatnonzero(zone == index)  # lobules come in random order
        keep[here] = np.cumsum(size[here]) <= by_zone[index] * zone_voxels[index]
    field = np.zeros(lungs.size, dtype=np.float32)
    held = keep[lesion]
    np.maximum.at(field, flat[held], weight[held])
    return field.reshape(lungs.shape)


def _lobule_centers(frame: Frame, lungs: Field, rng: np.random.Generator) -> NDArray[np.float64]:
    """Centres of the secondary lobules away from the pleura: a jittered lattice in random order, ``(N, 3)`` mm."""
    axes = [np.arange(axis[0], axis[-1], LOBULE_MM) for axis in (frame.z_D, frame.y_H, frame.x_W)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    lattice = lattice + rng.uniform(-2.6, 2.6, lattice.shape)
    index = np.rint((lattice - frame.origin_mm) / frame.spacing_mm).astype(np.int64)
    index = index.clip(0, np.subtract(frame.shape, 1))
    centers = lattice[lungs[tuple(index.T)] < -PLEURA_MM]
    return np.asarray(rng.permutation(centers), dtype=np.float64)


def _stamp(
    frame: Frame, centers: NDArray[np.float64], radii: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Field]:
    """Slightly irregular balls on the voxels: the ball, the flat voxel index and the weight of each pair."""
    spacing = frame.spacing_mm
    reach = np.ceil(float(radii.max(initial=1.0)) * 1.2 / spacing + 0.5).astype(np.int64)
    offsets = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.rint((centers - frame.origin_mm) / spacing).astype(np.int64)
    index = nearest[:, None, :] + offsets[None]
    stretch = np.exp(rng.normal(0, 0.12, (len(centers), 1, 3)))
    apart = (index * spacing + frame.origin_mm - centers[:, None, :]) * stretch
    distance = np.sqrt((apart**2).sum(axis=2))
    edge = 0.7 * float(np.cbrt(np.prod(spacing)))  # crisper than the organs: the scan blurs them once more
    weight = np.clip(0.5 - (distance - radii[:, None]) / edge, 0, 1)
    weight[(offsets == 0).all(axis=1)[None] & (weight < 0.8)] = 0.8  # never lost between coarse voxels
    inside = (weight > 0) & ((index >= 0) & (index < frame.shape)).all(axis=2)
    flat = np.ravel_multi_index(tuple(index[inside].T), frame.shape)
    return np.nonzero(inside)[0], np.asarray(flat, dtype=np.int64), weight[inside].astype(np.float32)


def _patches(frame: Frame, lungs: Field, pattern: Pattern, rng: np.random.Generator) -> Field:
    """Irregular regions, more of them towards the apices, that take the wanted share of the upper zone."""
    share = rng.uniform(*pattern.patches)
    coarse, fine = plane_waves(frame, rng, pattern.patch_mm), plane_waves(frame, rng, 17.0)
    zone_D, _ = _zones(lungs)
    rise = np.linspace(-1.1, 1.1, frame.shape[0], dtype=np.float32)[:, None, None]
    level = coarse + np.float32(0.45) * fine + rise
    upper = (lungs < 0) & (zone_D == 2)[:, None, None]
    threshold = np.quantile(level[upper], 1 - share)
    return np.asarray(np.clip(0.5 + (level - threshold) * 1.8, 0, 1) * (lungs < 0), dtype=np.float32)
