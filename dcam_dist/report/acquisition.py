"""Which columns tell how a scan was made, not who was scanned; these are looked at whatever their values look like."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.columns import LEAST_SHARED, OTHER, as_number, is_missing

KERNEL, MAKER = "kernel", "manufacturer"
ESSENTIAL = (KERNEL, MAKER)
"""Without these nobody can say that clusters are no scanners."""

_ANYWHERE = frozenset({
    "kernel", "convolution", "reconstruction", "recon", "scanner", "manufacturer", "vendor", "kvp",
    "mas", "ctdi", "ctdivol", "collimation"
})  # fmt: skip
_NAMES = frozenset({
    "site", "centre", "center", "hospital", "device", "model", "model_name", "station", "protocol",
    "contrast", "contrast_agent", "kv", "tube_voltage", "tube_current", "ma", "exposure",
    "exposure_mas", "exposure_time", "dose_length_product", "dlp", "slice_thickness", "thickness",
    "slice_spacing", "slice_distance", "slice", "slice_increment", "increment", "pixel",
    "pixel_spacing", "pixel_size", "spacing", "voxel", "voxel_size", "noise", "image_noise",
    "noise_level", "fov", "field_of_view", "matrix", "pitch", "filter", "software", "software_version"
})  # fmt: skip
_UNITS = re.compile(r"_(mm|hu|kv|kvp|ma|mas|mgy|s|ms)$")
_FAMILY = re.compile(r"[^a-z]*([a-z]+)(\d+)?")
_SHARP = 45
"""Siemens' numbers of kernels grow with sharpness: soft tissue below, lung and bone from here on."""


def is_acquisition(name: str) -> bool:
    """Whether a column of this name tells how a scan was made; case, blanks and a unit at its end do not count."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()).strip("_")
    return bool(_ANYWHERE & set(plain.split("_"))) or plain in _NAMES or _UNITS.sub("", plain) in _NAMES


def role_of(name: str) -> str:
    """``kernel`` or ``manufacturer`` where a column says one of the two, else its own name."""
    parts = set(re.sub(r"[^a-z0-9]+", "_", name.casefold()).split("_"))
    if "kernel" in parts and "type" not in parts:
        return KERNEL
    return MAKER if parts & {"manufacturer", "vendor", "scanner"} else name


def acquisition_values(texts: Sequence[str]) -> NDArray[np.float64] | NDArray[np.str_] | None:
    """Numbers where all are numbers and more than two, else every level as it is; ``None`` without a value."""
    known = ["" if is_missing(text) else text.strip() for text in texts]
    numbers = [as_number(text) if text else np.nan for text in known]
    plain = [number for number in numbers if number is not None]
    if not any(known):
        return None
    if len(plain) == len(numbers) and len({number for number in plain if not np.isnan(number)}) > 2:
        return np.array(plain, dtype=np.float64)
    return np.array(known, dtype=np.str_)


def kernel_families(kernels_N: NDArray[np.str_]) -> NDArray[np.str_]:
    """What kernels of one make have in common: the letters that they begin with, and whether a number is sharp.

    B30f and B31s are both ``b, soft``, B60f and B70f ``b, sharp``; names without a number stay as they are.
    """
    return np.array([_family(kernel) for kernel in kernels_N.tolist()], dtype=np.str_)


def shared_levels(values_N: NDArray[np.str_]) -> NDArray[np.str_]:
    """Levels as they may be shown: those of fewer than ``LEAST_SHARED`` cases are one."""
    counts = Counter(value for value in values_N.tolist() if value)
    return np.array([OTHER if value and counts[value] < LEAST_SHARED else value for value in values_N.tolist()])


def _family(kernel: str) -> str:
    found = _FAMILY.match(kernel.casefold())
    if not kernel or found is None or found[2] is None:
        return kernel
    return f"{found[1]}, {'sharp' if int(found[2][:2]) >= _SHARP else 'soft'}"
