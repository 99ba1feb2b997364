"""Chests that are hard to segment: a generated patient, changed in one way each, with the lungs known."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import ndimage

from dcam_dist.phantom import GRADES, PARASEPTAL, Disease, make_case
from dcam_dist.types import Geometry

RIGHT, LEFT = 1, 2


@dataclass(frozen=True, eq=False)
class HardChest:
    """A scan with its truth; coordinates in mm: z up from the base of the lungs, y to the back, x to the left.

    Attributes:
        hu: int16.
        lungs: 0, 1 right, 2 left: what ought to be in the mask.
        z, y, x: Coordinates, broadcastable.
        spacing_mm: Along (z, y, x).
        forbidden: Air that must stay out.
    """

    hu: np.ndarray
    lungs: np.ndarray
    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    spacing_mm: tuple[float, float, float]
    forbidden: np.ndarray | None = None

    @property
    def geometry(self) -> Geometry:
        return Geometry.from_matrix(self.hu.shape, np.diag([*reversed(self.spacing_mm), 1.0]))

    def depth(self, mask):
        """Distance in mm of each voxel of a mask from its outside."""
        return ndimage.distance_transform_edt(mask, sampling=self.spacing_mm)

    def ball(self, centre, radius):
        return sum((p - c) ** 2 for p, c in zip((self.z, self.y, self.x), centre, strict=True)) <= radius**2

    def painted(self, *regions, noise=12.0, **changes):
        """With regions filled, each a mask and its HU."""
        hu = self.hu.astype(np.float64)
        random = np.random.default_rng(5)
        for mask, value in regions:
            hu[mask] = value + random.normal(0.0, noise, np.count_nonzero(mask))
        return replace(self, hu=np.rint(np.clip(hu, -1024, 3071)).astype(np.int16), **changes)


@cache
def patient(index=0, grade="mild", matrix=128):
    case = make_case(index, Disease(grade, PARASEPTAL[0]), seed=3, matrix=matrix)
    frame = case.protocol.frame()
    pieces, _ = ndimage.label(case.lung_mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    first, second = np.argsort(-sizes)[:2]
    x_of = {n: np.nonzero(pieces == n)[2].mean() for n in (first, second)}
    right = min(x_of, key=x_of.get)
    near_right = ndimage.distance_transform_edt(pieces != right) <= ndimage.distance_transform_edt(
        pieces != (first + second - right)
    )
    lungs = np.where(case.lung_mask > 0, np.where(near_right, RIGHT, LEFT), 0).astype(np.uint8)
    return HardChest(case.hu, lungs, frame.z, frame.y, frame.x, case.protocol.spacing_mm)


def severe_emphysema():
    """Nearly all of the lung below −950 HU, a good part of it below −990."""
    base = patient(1, GRADES[5])
    parenchyma = (base.lungs > 0) & (base.hu < -600)
    patches = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=base.hu.shape), 2.0)
    hu = np.where(parenchyma, -975 + 0.06 * (base.hu + 900) + 260 * patches, base.hu)
    return replace(base, hu=np.clip(np.rint(hu), -1024, 3071).astype(np.int16))


def bullae(radius=28.0):
    """Bullae with walls of a fraction of a voxel: at the chest wall on the right, in the apex on the left."""
    base = patient(0)
    lungs = base.lungs > 0
    regions = []
    for side, share in ((RIGHT, 0.55), (LEFT, 0.97)):
        z, y, x = np.nonzero(base.lungs == side)
        height = base.z.ravel()[int(np.quantile(z, share))]
        row = np.abs(base.z.ravel()[z] - height) < 6
        column = np.quantile(base.x.ravel()[x[row]], 0.03 if side == RIGHT else 0.6)
        centre = (height, float(np.median(base.y.ravel()[y[row]])), float(column))
        hollow = base.ball(centre, radius) & lungs
        wall = hollow & (base.depth(hollow) <= 1.01 * min(base.spacing_mm))
        regions += [(hollow, -1000.0), (wall, -620.0)]
    return base.painted(*regions)


def vanishing_lung():
    """One giant bulla that leaves the right lung a rim."""
    base = patient(0)
    right = base.lungs == RIGHT
    hollow = base.depth(right) > 9.0
    return base.painted((hollow, -1000.0))


def arms_down(sides=(-1, 1)):
    """Upper arms beside the chest; cloth in front and behind closes the air between."""
    base = widened(patient(0), 110.0)
    body_edge = np.abs(base.x[..., np.flatnonzero((base.hu > -200).any(axis=(0, 1)))]).max()
    regions, gaps = [], np.zeros(base.hu.shape, bool)
    for side in sides:
        away = np.hypot(base.y - 5.0, base.x - side * (body_edge + 46.0)) + 0 * base.z
        beside = (side * base.x > body_edge - 60) & (side * base.x < body_edge + 46) & (base.z > 40) & (base.z < 160)
        gap = beside & (np.abs(base.y) < 38.0) & (base.hu < -700) & (base.lungs == 0)
        cloth = beside & (np.abs(np.abs(base.y) - 40.0) < 2.6) & (base.hu < -700)
        regions += [(cloth, 30.0), (away < 40.0, 50.0), (away < 12.0, 900.0)]
        gaps |= gap & (away >= 40.0)
    streaks = np.random.default_rng(4).normal(0.0, 35.0, base.hu.shape[:2])[..., None]
    chest = base.painted(*regions, forbidden=gaps)
    return replace(chest, hu=np.clip(np.rint(chest.hu + streaks), -1024, 3071).astype(np.int16))


def blankets():
    """Cloth over the chest and under the back, with air pockets, and tubes full of air on the skin."""
    base = patient(0)
    skin = base.hu > -300
    front = np.where(skin.any(axis=1), skin.argmax(axis=1), skin.shape[1])
    back = np.where(skin.any(axis=1), skin.shape[1] - 1 - skin[:, ::-1].argmax(axis=1), 0)
    rows = np.arange(skin.shape[1])[None, :, None]
    top = int(np.quantile(front, 0.02)) - 3
    over = (np.abs(base.x) < 110) & (rows == top) & (front < skin.shape[1])[:, None, :]
    posts = (np.abs(np.abs(base.x) - 110) < 3) & (rows >= top) & (rows < front[:, None, :])
    tubes = (np.abs(np.hypot(base.y - base.y.min() - 18, base.x - 60) - 9.0) < 3.0) + 0 * base.z > 0
    pocket = (np.abs(base.x) < 108) & (rows > top) & (rows < front[:, None, :])
    below = rows > back[:, None, :]
    return base.painted((over | posts | tubes, 60.0), forbidden=(pocket | below) & (base.lungs == 0))


def thick_slices():
    base = patient(2, matrix=192)
    pairs = len(base.hu) // 2 * 2
    hu = base.hu[:pairs].reshape(-1, 2, *base.hu.shape[1:]).mean(axis=1)
    lungs = base.lungs[:pairs:2]
    z, y, x = base.spacing_mm
    return replace(base, hu=np.rint(hu).astype(np.int16), lungs=lungs, z=base.z[:pairs:2], spacing_mm=(2 * z, y, x))


def small_field(cut_mm=14.0):
    """A field of view whose lateral edges cut the chest wall and the lungs."""
    base = patient(0)
    columns = np.flatnonzero((base.lungs > 0).any(axis=(0, 1)))
    step = round(cut_mm / base.spacing_mm[2])
    part = slice(columns[0] + step, columns[-1] + 1 - step)
    return replace(base, hu=base.hu[..., part], lungs=base.lungs[..., part], x=base.x[..., part])


def truncated_circle(cut_mm=10.0, padding=-1000):
    """A reconstruction circle that cuts the lungs, constant padding outside."""
    base = patient(0)
    lateral = np.abs(base.x[..., (base.lungs > 0).any(axis=(0, 1))]).max()
    outside = np.broadcast_to(np.hypot(base.y, base.x) > lateral - cut_mm, base.hu.shape)
    hu = np.where(outside, np.int16(padding), base.hu)
    return replace(base, hu=hu, lungs=np.where(outside, 0, base.lungs).astype(np.uint8), forbidden=outside)


def consolidation(side=LEFT):
    """The lower lobe of a lung without air."""
    base = patient(0)
    lung = base.lungs == side
    z, y, _ = np.nonzero(lung)
    lobe = lung & (base.z - 0.6 * base.y < np.quantile(base.z.ravel()[z] - 0.6 * base.y.ravel()[y], 0.5))
    return base.painted((lobe, 40.0), lungs=np.where(lobe, 0, base.lungs).astype(np.uint8))


def effusion():
    """Fluid behind the right lung, up to a level."""
    base = patient(0)
    right = base.lungs == RIGHT
    fluid = right & (base.y > np.quantile(base.y.ravel()[np.nonzero(right)[1]], 0.45))
    return base.painted((fluid, 10.0), lungs=np.where(fluid, 0, base.lungs).astype(np.uint8))


def stomach_gas(wall_mm=8.0):
    """Gas of stomach and colon close under both halves of the diaphragm."""
    base = patient(0)
    free = ndimage.distance_transform_edt(base.lungs == 0, sampling=base.spacing_mm) > wall_mm
    body = ndimage.binary_fill_holes(base.hu[1] > -300)[None]
    gas = np.zeros(base.hu.shape, bool)
    for side in (-1, 1):
        gas |= base.ball((22.0, -25.0, side * 62.0), 44.0) & free & body & (base.z < 60)
    return base.painted((gas, -1000.0), forbidden=gas)


def pneumothorax():
    """Free air in front of the left lung."""
    base = patient(0)
    left = base.lungs == LEFT
    level = np.quantile(base.y.ravel()[np.nonzero(left)[1]], 0.25)
    pleura = left & (np.abs(base.y - level) < 1.5)
    return base.painted((left & (base.y < level), -1000.0), (pleura, -650.0))


def pneumonectomy(side=LEFT, rest_ml=0.0):
    """One lung gone, or shrunken to its apex."""
    base = patient(0)
    lung = base.lungs == side
    heights = np.sort(base.z.ravel()[np.nonzero(lung)[0]])[::-1]
    voxels = round(rest_ml / base.geometry.voxel_ml)
    gone = lung & (base.z < heights[voxels - 1] if voxels else lung)
    return base.painted((gone, 30.0), lungs=np.where(gone, 0, base.lungs).astype(np.uint8))


def oesophageal_air():
    """A gullet full of air between the lungs."""
    base = patient(0)
    free = ndimage.distance_transform_edt(base.lungs == 0, sampling=base.spacing_mm) > 3.0
    gullet = (np.hypot(base.y - 38.0, base.x - 6.0) + 0 * base.z < 9.0) & free & (base.hu > -300)
    return base.painted((gullet, -1000.0), forbidden=gullet)


def touching(septum_hu=-650.0):
    """Lungs that meet in front of the heart, with a septum of a fraction of a voxel between them or with none."""
    base = patient(0)
    right, left = (ndimage.distance_transform_edt(base.lungs != side, sampling=base.spacing_mm) for side in (1, 2))
    front = np.quantile(base.y.ravel()[np.nonzero(base.lungs)[1]], 0.2)
    height = (base.z > 60) & (base.z < 150)
    bridge = (base.lungs == 0) & (right + left < 26.0) & (base.y < front) & (base.hu > -300) & height
    labels = np.where(right <= left, RIGHT, LEFT)
    septum = bridge & (np.abs(right - left) < 1.7 * base.spacing_mm[2])
    lungs = np.where(bridge, labels, base.lungs).astype(np.uint8)
    return base.painted((bridge, -850.0), (septum, septum_hu), lungs=lungs)


def widened(base, margin_mm):
    """With more air to the left and right."""
    step = base.spacing_mm[2]
    count = round(margin_mm / step)
    air = np.random.default_rng(9).normal(-1000.0, 12.0, (*base.hu.shape[:2], count)).astype(np.int16)
    x = base.x[0, 0, 0] + step * (np.arange(base.hu.shape[2] + 2 * count) - count)
    lungs = np.pad(base.lungs, ((0, 0), (0, 0), (count, count)))
    hu = np.concatenate([air, base.hu, air[..., ::-1]], axis=2)
    return replace(base, hu=hu, lungs=lungs, x=x[None, None, :])
