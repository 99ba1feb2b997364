"""The soft outlines of a chest as distance fields: body, rib cage, mediastinum, diaphragm, lungs."""

from dataclasses import dataclass

import numpy as np

from dcam_dist.phantom.build import BODY_DEPTH, BODY_WIDTH, CAGE_DEPTH, CAGE_SHIFT_MM, CAGE_WIDTH, Build
from dcam_dist.phantom.fields import Field, Frame, column, ellipsoid, plane_waves, smooth_max, smooth_min

MUSCLE_MM = 20.0  # ribs and muscle between the inner surface of the cage and the fat
MIDLINE_MM = 4.5  # half the least tissue between the two lungs


@dataclass(frozen=True, eq=False)
class Outlines:
    """Distance fields of one chest, each ``(D, H, W)``, negative inside (``fields``).

    Attributes:
        body: The skin.
        cage: Inner surface of the ribs.
        lungs: Both lungs, airways not yet taken out.
        dome_HW: Height of the diaphragm over each column, millimetres; shape ``(H, W)``.
    """

    body: Field
    cage: Field
    lungs: Field
    dome_HW: Field


def outline(frame: Frame, build: Build, rng: np.random.Generator) -> Outlines:
    """Lay out a chest.

    Args:
        frame: The voxels.
        build: The patient's sizes.
        rng: Draws the random deformation of the lungs.
    """
    bend = plane_waves(frame, rng, 95.0)
    cage = _cage(frame, build)
    mediastinum = _mediastinum(frame, build)
    mediastinum += bend * np.float32(build.roughness)
    mediastinum = np.minimum(mediastinum, _junction(frame, build, bend))
    dome = dome_height(frame, build)
    lungs = smooth_max(cage, -mediastinum, 8.0)
    lungs = smooth_max(lungs, (dome - frame.z) * np.float32(0.75), 4.0)
    lungs = smooth_max(lungs, _over_the_apex(frame, build), 14.0)
    lungs += bend * np.float32(0.6 * build.roughness)
    lungs += np.float32(1.5)
    return Outlines(_body(frame, build), cage, lungs, dome[0])


def dome_height(frame: Frame, build: Build) -> Field:
    """Height of the diaphragm, shape ``(1, H, W)``: two domes, highest in front, deep recesses behind."""
    across = (np.abs(frame.x) - 0.47 * build.half_width) / (0.66 * build.half_width)
    along = (frame.y + 0.34 * build.half_depth) / (1.02 * build.half_depth)
    top = np.where(frame.x < 0, build.dome_right, build.dome_left).astype(np.float32)
    height = top * (1 - across**2 - along**2)
    return np.asarray(8 * np.logaddexp(0, height / 8, dtype=np.float64), dtype=np.float32)


def _cage(frame: Frame, build: Build) -> Field:
    level = build.level(frame.z_D)
    return column(
        frame,
        (CAGE_SHIFT_MM(level), 0.0),
        (build.half_depth * CAGE_DEPTH(level), build.half_width * CAGE_WIDTH(level)),
    )


def _body(frame: Frame, build: Build) -> Field:
    level = build.level(frame.z_D)
    rim = MUSCLE_MM + build.fat
    half_width = ((build.half_width + rim) * BODY_WIDTH(level)).astype(np.float32)[:, None, None]
    half_depth = ((build.half_depth + rim) * BODY_DEPTH(level)).astype(np.float32)[:, None, None]
    # The back stays on the table while the chest slopes down in front of the neck.
    middle = (build.half_depth + rim) - half_depth
    u, v = (frame.x / half_width) ** 2, ((frame.y - middle) / half_depth) ** 2
    r = np.sqrt(u + v - np.float32(0.35) * u * v)  # a squircle: between an ellipse and a box
    return np.asarray((r - 1) * np.sqrt(half_width * half_depth), dtype=np.float32)


def _mediastinum(frame: Frame, build: Build) -> Field:
    """Union of the organs between the lungs, with fillets, grown by a little fat."""
    h, k = build.height, build.heart
    level = build.level(frame.z_D)
    front = -build.half_depth
    spine = column(frame, (build.spine_y, 0.0), (24.0, 24.0))
    rises = np.interp(level, [0.35, 0.55, 0.75, 1.0], [24.0, 38.0, 38.0, 34.0])
    spread = np.interp(level, [0.35, 0.55, 0.75, 1.0], [20.0, 31.0, 30.0, 25.0])
    great_vessels = column(frame, (np.interp(level, [0.4, 1.0], [14.0, 8.0]), 0.0), (rises, spread))
    heart = ellipsoid(frame, (0.30 * h, 0.34 * front, 16.0), (52 * k, 46 * k, 50 * k))
    apex = ellipsoid(frame, (0.26 * h, 0.52 * front, 44.0 * k), (38 * k, 32 * k, 34 * k))
    aorta = column(frame, (build.spine_y - 26, 22.0), (13.0, 13.0))
    field = smooth_min(smooth_min(spine, great_vessels, 14.0), smooth_min(heart, apex, 12.0), 14.0)
    field = smooth_min(field, aorta, 8.0)
    for side in (-1, 1):
        z, y, x = build.hilum(side)
        field = smooth_min(field, ellipsoid(frame, (z, y, x * 0.85), (24.0, 17.0, 13.0)), 12.0)
    return field


def _junction(frame: Frame, build: Build, bend: Field) -> Field:
    """The anterior junction: the lungs nearly meet behind the sternum above the heart, and draw apart to the apices."""
    half = np.interp(build.level(frame.z_D), [0.5, 0.7, 1.0], [MIDLINE_MM, 8.0, 16.0]).astype(np.float32)
    return np.asarray(np.abs(frame.x - 2.5 * bend) - half[:, None, None], dtype=np.float32)


def _over_the_apex(frame: Frame, build: Build) -> Field:
    """Positive above the rounded top of each lung."""
    across, along = np.abs(frame.x) - build.apex, frame.y - 18.0
    top = build.height - np.float32(0.013) * across**2 - np.float32(0.010) * along**2
    return np.asarray((frame.z - top) * np.float32(0.7), dtype=np.float32)
