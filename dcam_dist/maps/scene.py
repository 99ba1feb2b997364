"""A mapped case together with its CT and lungs at the scan's resolution."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.cohort.layout import NATIVE_LEVEL
from dcam_dist.maps.compute import MappedCase


@dataclass(frozen=True, eq=False)
class Scene:
    """What is exported and drawn of one case.

    Attributes:
        mapped: The case and its maps.
        hu_DHW: int16, the crop around the lungs at the scan's resolution, canonical axes; its place is
            ``mapped.record.native``.
        lungs_DHW: bool, same shape.
    """

    mapped: MappedCase
    hu_DHW: NDArray[np.int16]
    lungs_DHW: NDArray[np.bool_]


def open_scene(mapped: MappedCase, cohort: Cohort) -> Scene:
    """Read the CT and the lungs of a case.

    Raises:
        VolumeDamaged: When they are missing or damaged.
    """
    return Scene(mapped, *cohort.read(mapped.record.case_id, NATIVE_LEVEL))
