"""Cases for the viewer: two boxes of lung, where each voxel's HU and probabilities are known."""

import numpy as np

from dcam_dist.maps.naming import ClassNames
from dcam_dist.report.viewer import ViewerCase
from dcam_dist.types import Geometry

HOSTILE = "</script><script>hacked = 1</script><img src=x onerror='hacked = 1'>\u2028<!-- \"&"
NAMES = ClassNames("cluster", ("cluster 1", "cluster 2", "cluster 3"), ("a", "b", "c"), 1)
HOSTILE_NAMES = ClassNames("cluster", (HOSTILE, "cluster 2", "cluster 3"), ("a", "b", "c"), 1)
SHAPE = (24, 28, 40)
BLOB = (17, 10, 9)
"""The middle (z, y, x) of a nodule of 3×3×3 voxels, high and in front in the patient's right lung."""
BLOB_HU, LUNG_HU, CHEST_HU = -200, -870, 40
RIGHT, LEFT = (slice(3, 21), slice(5, 23), slice(4, 17)), (slice(3, 21), slice(5, 23), slice(23, 36))


def viewer_case(
    title: str = "first case",
    *,
    cluster: int = 1,
    shape=SHAPE,
    spacing_zyx=(4.0, 3.0, 3.0),
    classes: int = 3,
    cosines=None,
    nodule: bool = True,
) -> ViewerCase:
    """The probability of the first class rises from the base to the apex; of the others the second is ahead."""
    z, y, x = spacing_zyx
    matrix = np.diag([x, y, z, 1.0])
    matrix[:3, :3] = (np.eye(3) if cosines is None else cosines) @ matrix[:3, :3]
    matrix[:3, 3] = -61.5, -152.25, -310.0
    geometry = Geometry.from_matrix(shape, matrix)
    lungs, hu = np.zeros(shape, bool), np.full(shape, CHEST_HU, np.int16)
    scale = np.array(shape) / SHAPE
    for box in (RIGHT, LEFT):
        lungs[tuple(slice(int(s.start * f), int(s.stop * f)) for s, f in zip(box, scale, strict=True))] = True
    hu[lungs] = LUNG_HU
    if nodule:
        hu[tuple(slice(int(m) - 1, int(m) + 2) for m in np.array(BLOB) * scale)] = BLOB_HU
    rise = np.broadcast_to(np.linspace(-2, 3, shape[0])[:, None, None], shape)
    dense = np.stack([rise, np.full(shape, 0.5), *[np.zeros(shape)] * (classes - 2)]).astype(np.float32)
    return ViewerCase("case-1", title, f"About {title}.", cluster, hu, lungs, geometry, dense, geometry)
