"""The inside of the lungs: density, vessels, fissures, emphysema."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from dcam_dist.phantom.airway import clear_of, main_airway
from dcam_dist.phantom.anatomy import Outlines
from dcam_dist.phantom.build import Build
from dcam_dist.phantom.fields import Box, Field, Frame, inside, paint, plane_waves
from dcam_dist.phantom.grades import Disease
from dcam_dist.phantom.lesions import PATTERNS, centrilobular
from dcam_dist.phantom.paraseptal import WALL_MM, bullae
from dcam_dist.phantom.tissue import BLOOD_HU
from dcam_dist.phantom.vessels import vessel_fraction

CENTRILOBULAR = 1
PARASEPTAL = 2
TIPS = 420  # of each vascular tree; an artery and a vein to each lung
Streams = dict[str, np.random.Generator]


@dataclass(frozen=True, eq=False)
class Lungs:
    """Both lungs, on the whole frame.

    Attributes:
        lung_mask: uint8, 1 in the lungs: vessels and emphysema in, trachea and main bronchi out.
        lesion_mask: uint8, 0 none, 1 centrilobular, 2 paraseptal.
    """

    lung_mask: NDArray[np.uint8]
    lesion_mask: NDArray[np.uint8]


def paint_lungs(
    hu: Field, frame: Frame, build: Build, outlines: Outlines, disease: Disease, streams: Streams, edge_mm: float
) -> Lungs:
    """Fill the lungs, in place, and say where they and their lesions are."""
    clear_of(outlines.lungs, frame, main_airway(build, float(frame.z_D[-1])))
    box = _bounding_box(outlines.lungs)
    part, lungs = frame.crop(box), outlines.lungs[box]
    destroyed, patch = centrilobular(part, lungs, disease.grade, streams["lesions"])
    fissures = _fissures(part, build, streams["shape"])
    bulla = bullae(part, lungs, fissures, disease.paraseptal, streams["paraseptal"])
    bulla = np.maximum(bulla, lungs)
    tissue = _parenchyma(part, build, disease, streams["density"])
    _destroy(tissue, part, destroyed, streams["density"])
    vessels = _vessels(part, build, lungs, disease, patch, streams["vessels"])
    tissue += vessels * (BLOOD_HU - tissue)
    tissue += inside(fissures - np.float32(0.4), edge_mm) * 90 * (1 - patch)
    _paint_bullae(tissue, bulla, edge_mm)
    paint(hu[box], lungs, tissue, edge_mm)
    return _masks(frame, box, lungs, destroyed, bulla)


def _bounding_box(lungs: Field) -> Box:
    held = lungs < 3
    spans = [np.flatnonzero(held.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    z, y, x = (slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    return z, y, x


def _parenchyma(frame: Frame, build: Build, disease: Disease, rng: np.random.Generator) -> Field:
    """Density of the tissue between vessels: the depth of the breath, gravity, and a mottle at two scales."""
    mean = rng.normal(-886, 12)
    gravity = rng.uniform(20, 44)
    mottle, speckle = plane_waves(frame, rng, 62.0), plane_waves(frame, rng, 12.0)
    loss = 22.0 * PATTERNS[disease.grade].hyperinflation
    slope = gravity * frame.y / (2 * build.half_depth) - 14 * (frame.z / build.height - 0.5)
    return np.asarray(mean - loss + slope + 6 * mottle + 8 * speckle, dtype=np.float32)


def _destroy(tissue: Field, frame: Frame, destroyed: Field, rng: np.random.Generator) -> None:
    """Emphysema: −950…−1000 HU, with strands of what is left."""
    strands = plane_waves(frame, rng, 22.0)
    emptied = -986 + 5 * strands
    tissue += destroyed * (np.clip(emptied, -999, -960) - tissue)


def _vessels(
    frame: Frame, build: Build, lungs: Field, disease: Disease, patch: Field, rng: np.random.Generator
) -> Field:
    roots = []
    for side in (-1, 1):
        z, y, x = build.hilum(side)
        roots += [(z, y - 2, x), (z - 0.10 * build.height, y + 6, 0.88 * x)]  # an artery and a lower vein
    severe = PATTERNS[disease.grade].hyperinflation
    fraction = vessel_fraction(frame, lungs, roots, round(TIPS * (1 - 0.35 * severe)), patch if severe else None, rng)
    return np.asarray(fraction * (1 - 0.6 * patch), dtype=np.float32)


def _fissures(frame: Frame, build: Build, rng: np.random.Generator) -> Field:
    """Distance from the oblique fissures and, on the right, the horizontal one."""
    wave = plane_waves(frame, rng, 110.0)
    h = build.height
    above = frame.z - (0.47 * h + np.float32(1.05) * frame.y) + 5 * wave  # > 0: in front of the oblique fissure
    oblique = np.abs(above) * np.float32(1 / 1.45)
    level = np.abs(frame.z - 0.50 * h + 4 * wave)
    horizontal = np.where((frame.x < 0) & (above > 0), level, np.float32(1e3))
    return np.asarray(np.minimum(oblique, horizontal), dtype=np.float32)


def _paint_bullae(tissue: Field, bulla: Field, edge_mm: float) -> None:
    rim = np.abs(bulla - np.float32(WALL_MM / 2)) - np.float32(WALL_MM / 2)
    tissue += inside(rim, edge_mm) * np.float32(140)
    paint(tissue, bulla, -985.0, edge_mm)


def _without_islands(held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the few voxels that a bronchus cuts off a lung."""
    part, count = label(held)
    size = np.bincount(part.reshape(-1), minlength=count + 1)
    return np.asarray((size > 0.1 * size[1:].max())[part] & held)


def _masks(frame: Frame, box: Box, lungs: Field, destroyed: Field, bulla: Field) -> Lungs:
    lung_mask, lesion_mask = np.zeros((2, *frame.shape), dtype=np.uint8)
    held = _without_islands(lungs < 0)
    lung_mask[box] = held
    lesion_mask[box] = np.where(destroyed > 0.5, CENTRILOBULAR, 0) * held
    lesion_mask[box][(bulla < 0) & held] = PARASEPTAL
    return Lungs(lung_mask, lesion_mask)
