"""The chest without its lungs in Hounsfield units: skin, fat, muscle, organs, bones."""

import numpy as np

from dcam_dist.phantom.anatomy import MUSCLE_MM, Outlines
from dcam_dist.phantom.build import Build
from dcam_dist.phantom.fields import (
    Field,
    Frame,
    Point,
    column,
    ellipsoid,
    inside,
    paint,
    paint_box,
    paint_tube,
    plane_waves,
)

AIR_HU = -1000.0
FAT_HU = -100.0
MUSCLE_HU = 48.0
BLOOD_HU = 40.0
SKIN_HU = 15.0


def paint_body(
    hu: Field, frame: Frame, build: Build, outlines: Outlines, rng: np.random.Generator, edge_mm: float
) -> None:
    """Skin, fat with a varying thickness, muscle with fat planes, and the fat of the mediastinum and the belly."""
    vary = plane_waves(frame, rng, 120.0)
    streaks = plane_waves(frame, rng, 48.0)
    paint(hu, outlines.body, SKIN_HU, edge_mm)
    paint(hu, outlines.body + np.float32(2.0), FAT_HU, edge_mm)
    muscle = np.maximum(outlines.body + np.float32(build.fat) * (1 + np.float32(0.15) * vary), -outlines.cage)
    muscle = np.minimum(muscle, np.abs(outlines.cage - 6) - np.float32(7.0))
    paint(hu, muscle, MUSCLE_HU + 4 * vary, edge_mm)
    between = np.maximum(np.abs(streaks) * 12 - 1.2, np.maximum(muscle + 5, MUSCLE_MM * 0.6 - outlines.cage))
    paint(hu, between, FAT_HU + 50, 4.0)
    paint(hu, outlines.cage, FAT_HU + 8, edge_mm)


def paint_organs(hu: Field, frame: Frame, build: Build, outlines: Outlines, edge_mm: float) -> None:
    """Heart, great vessels, gullet; below the diaphragm liver, spleen and stomach."""
    h, k = build.height, build.heart
    front = -build.half_depth
    heart = np.minimum(
        ellipsoid(frame, (0.30 * h, 0.34 * front, 16.0), (49 * k, 43 * k, 47 * k)),
        ellipsoid(frame, (0.26 * h, 0.52 * front, 44.0 * k), (35 * k, 29 * k, 31 * k)),
    )
    under = np.asarray((frame.z - outlines.dome_HW[None]) * np.float32(0.75) + 2, dtype=np.float32)
    paint(hu, np.maximum(under, outlines.cage), -60.0, edge_mm)
    paint(hu, np.maximum(heart, -under), BLOOD_HU, edge_mm)
    _paint_belly(hu, frame, build, under, outlines.cage, edge_mm)
    for ends, radius in _great_vessels(build, float(frame.z_D[-1])):
        paint_tube(hu, frame, ends, (radius, radius), BLOOD_HU, edge_mm)


def _paint_belly(hu: Field, frame: Frame, build: Build, under: Field, cage: Field, edge_mm: float) -> None:
    wall = np.maximum(under, cage + 3)
    depth, width = build.half_depth, build.half_width
    diaphragm = np.maximum(np.abs(under + 1) - 2, cage)
    liver = ellipsoid(frame, (-20.0, -0.05 * depth, -0.42 * width), (95.0, 0.98 * depth, 0.72 * width))
    spleen = ellipsoid(frame, (-5.0, 0.5 * depth, 0.68 * width), (55.0, 34.0, 26.0))
    stomach = ellipsoid(frame, (-5.0, -0.2 * depth, 0.45 * width), (70.0, 44.0, 40.0))
    for organ, value in ((stomach, 22.0), (spleen, 52.0), (liver, 58.0)):
        paint(hu, np.maximum(organ, wall), value, edge_mm)
    paint(hu, diaphragm, MUSCLE_HU, edge_mm)


def _great_vessels(build: Build, top_z: float) -> list[tuple[tuple[Point, Point], float]]:
    """Straight pieces of the great vessels and the gullet with their radii, from the patient's build."""
    h, spine = build.height, build.spine_y
    arch_z = 0.69 * h
    return [
        (((0.40 * h, -22.0, -4.0), (arch_z - 8, -14.0, -8.0)), 15.0),  # ascending aorta
        (((arch_z - 6, -12.0, -6.0), (arch_z, 14.0, 13.0)), 13.0),
        (((arch_z, 14.0, 13.0), (arch_z - 8, spine - 24, 22.0)), 12.5),  # arch
        (((arch_z - 8, spine - 24, 22.0), (-60.0, spine - 24, 16.0)), 11.5),  # descending aorta
        (((0.38 * h, -8.0, -24.0), (0.78 * h, -6.0, -20.0)), 9.5),  # superior vena cava
        (((0.78 * h, -6.0, -20.0), (0.86 * h, -14.0, 24.0)), 6.5),  # brachiocephalic vein
        (((0.42 * h, -26.0, 20.0), (0.54 * h, -8.0, 14.0)), 14.0),  # pulmonary trunk
        (((0.54 * h, -6.0, 14.0), build.hilum(-1)), 9.5),
        (((0.55 * h, -4.0, 14.0), build.hilum(1)), 9.5),
        (((0.43 * h, 16.0, -28.0), (0.43 * h, 16.0, 30.0)), 13.0),  # left atrium
        (((arch_z, -8.0, -6.0), (top_z, -2.0, -24.0)), 6.0),
        (((arch_z, 0.0, 4.0), (top_z, -2.0, 26.0)), 4.5),
        (((arch_z, 10.0, 12.0), (top_z, 8.0, 30.0)), 5.0),  # branches of the arch
        (((-60.0, spine - 28, 4.0), (top_z, spine - 26, 3.0)), 6.5),  # gullet
        (((0.05 * h, -4.0, -24.0), (0.36 * h, -6.0, -22.0)), 11.0),  # inferior vena cava
    ]


def paint_bones(hu: Field, frame: Frame, build: Build, outlines: Outlines, edge_mm: float) -> None:
    """Ribs, shoulder blades, spine, sternum and collar bones."""
    _paint_shell(hu, frame, build, outlines, edge_mm)
    h, b, spine = build.height, build.half_depth, build.spine_y
    everywhere = (float(frame.z_D[0]) - 1, float(frame.z_D[-1]) + 1)
    back = frame.box((everywhere[0], spine - 24, -44), (everywhere[1], spine + 60, 44))
    _paint_spine(hu[back], frame.crop(back), spine, edge_mm)
    chest_bone = frame.box((0.36 * h, -b - 24, -34), (0.92 * h, -0.4 * b, 34))
    paint_box(hu, frame, chest_bone, lambda part: _sternum(part, build), 330.0, edge_mm)
    for side in (-1, 1):
        ends = ((0.90 * h, -0.60 * b, side * 20.0), (1.02 * h, -0.30 * b, side * 105.0))
        paint_tube(hu, frame, ends, (6.5, 5.5), 480.0, edge_mm)


def _paint_shell(hu: Field, frame: Frame, build: Build, outlines: Outlines, edge_mm: float) -> None:
    """Ribs and shoulder blades: they lie on the cage, so only a shell of voxels is looked at."""
    at = np.nonzero((outlines.cage > -1) & (outlines.cage < 26) & (outlines.body < -6))
    z, y, x = frame.z_D[at[0]], frame.y_H[at[1]], frame.x_W[at[2]]
    over = outlines.cage[at]
    # 0 at the back, π in front; float64, since fast float32 versions differ between CPUs
    angle = np.arctan2(np.abs(x), y, dtype=np.float64)
    values = hu[at]
    rib = _rib(z, angle, over, build)
    cartilage = angle > 2.35
    for distance, value in ((rib, np.where(cartilage, 110.0, 640.0)), (rib + 2.6, np.where(cartilage, 110.0, 230.0))):
        values += inside(distance, edge_mm) * (value - values)
    values += inside(_shoulder_blade(z, angle, over, build), edge_mm) * (420.0 - values)
    hu[at] = values


def _rib(z: Field, angle: Field, over: Field, build: Build) -> Field:
    """Ribs: bands that fall from the spine towards the front, 7 mm thick and 12 mm high."""
    pitch = 0.115 * build.height
    fall = 0.26 * build.height * (1 - np.cos(np.minimum(angle, 2.5))) / 1.8
    turn = (z + fall) / pitch
    height = (turn - np.round(turn)) * pitch
    band = (np.sqrt((height / 6.0) ** 2 + ((over - 5.5) / 4.0) ** 2) - 1) * 4.5
    ends = np.maximum(z - 1.02 * build.height, (angle - 2.75) * 90)
    return np.asarray(np.maximum(band, ends), dtype=np.float32)


def _shoulder_blade(z: Field, angle: Field, over: Field, build: Build) -> Field:
    """A thin triangle behind the upper ribs, narrower towards its lower tip."""
    level = z / build.height
    half = np.clip((level - 0.52) * 1.5, 0, 0.42)
    beside = (np.abs(angle - 0.95) - half) * 90
    plate = np.maximum(np.abs(over - 19) - 2.4, beside)
    return np.asarray(np.maximum(plate, (level - 0.97) * build.height), dtype=np.float32)


def _sternum(part: Frame, build: Build) -> Field:
    front = build.half_depth * np.interp(build.level(part.z_D), [0.3, 0.6, 0.8, 1.0], [1.0, 0.93, 0.8, 0.6])
    shift = np.interp(build.level(part.z_D), [0.35, 0.7, 1.0], [0.0, 4.0, 14.0])
    return column(part, (shift - front - 5, 0.0), (5.5, 19.0))


def _paint_spine(hu: Field, part: Frame, spine_y: float, edge_mm: float) -> None:
    pitch = 24.0
    height = np.abs((part.z_D / pitch - np.round(part.z_D / pitch)) * pitch)  # 0 in mid-vertebra, 12 in the disc
    bone = np.clip((9.5 - height) / 3, 0, 1).astype(np.float32)[:, None, None]
    body = column(part, (spine_y, 0.0), (15.0, 18.0))
    canal = column(part, (spine_y + 22, 0.0), (8.0, 9.5))
    spinous = column(part, (spine_y + 37, 0.0), (11.0, 3.5))
    crosswise = column(part, (spine_y + 21, 0.0), (4.5, 33.0))
    level = np.float32(1) - np.clip(height / 10, 0, 1).astype(np.float32)[:, None, None]
    paint(hu, crosswise, MUSCLE_HU + 400 * level, edge_mm)
    paint(hu, spinous, MUSCLE_HU + 420 * level, edge_mm)
    paint(hu, canal - 4, 480.0, edge_mm)
    paint(hu, body, 90 + 430 * bone, edge_mm)
    paint(hu, body + 3, 90 + 110 * bone, edge_mm)
    paint(hu, canal, 30.0, edge_mm)


def paint_table(hu: Field, frame: Frame, build: Build, edge_mm: float) -> None:
    """The couch: a shallow cradle of a thin shell over light foam, the same in every slice."""
    back = build.half_depth + MUSCLE_MM + build.fat
    top = back + 5 - np.float32(0.0009) * frame.x**2
    below = (frame.y - top)[0]
    edge = (np.abs(frame.x_W) - 205)[None, :]
    shell = np.maximum(np.abs(below - 13) - 13, edge).astype(np.float32)
    foam = np.maximum(np.abs(below - 13) - 10, edge + 4).astype(np.float32)
    weight = inside(shell, edge_mm)
    value = -180 + inside(foam, edge_mm) * (-930 + 180)
    hu += (hu < -900) * weight * (value - hu)
