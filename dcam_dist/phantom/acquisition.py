"""How a case is scanned: voxels, scanner, reconstruction kernel, noise. Independent of the disease."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dcam_dist.phantom.anatomy import MUSCLE_MM
from dcam_dist.phantom.build import Build
from dcam_dist.phantom.fields import Field, Frame

# Manufacturer with its smooth and its sharp kernel.
SCANNERS: Final = (
    ("GE MEDICAL SYSTEMS", "STANDARD", "BONE"),
    ("SIEMENS", "B31f", "B60f"),
    ("TOSHIBA", "FC07", "FC51"),
)
SHARP_SHARE: Final = 0.3
STORED_HU: Final = (-1024, 3071)


@dataclass(frozen=True)
class Protocol:
    """The settings of one scan.

    Attributes:
        manufacturer: As DICOM names it.
        kernel: Convolution kernel.
        sharp: Whether the kernel enhances edges and noise.
        kvp: Tube voltage.
        noise_hu: Standard deviation of the noise.
        spacing_mm: Voxel size along ``(z, y, x)``.
        start_mm: First voxel in the phantom's space, ``(z, y, x)``.
        shape: Voxels along ``(z, y, x)``.
        origin_mm: First voxel in patient coordinates (LPS), ``(x, y, z)``.
    """

    manufacturer: str
    kernel: str
    sharp: bool
    kvp: int
    noise_hu: float
    spacing_mm: tuple[float, float, float]
    start_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    origin_mm: tuple[float, float, float]

    def frame(self) -> Frame:
        """The voxel centres in the phantom's space."""
        axes = [
            np.asarray(start + spacing * np.arange(count), dtype=np.float32)
            for start, spacing, count in zip(self.start_mm, self.spacing_mm, self.shape, strict=True)
        ]
        return Frame(*axes)


def draw_protocol(rng: np.random.Generator, build: Build, matrix: int) -> Protocol:
    """Draw a protocol whose field of view holds the patient and the table.

    Args:
        rng: The case's acquisition generator.
        build: The patient's sizes.
        matrix: Rows and columns; above 128 the slices grow thinner as well.
    """
    manufacturer, smooth, sharp = SCANNERS[int(rng.integers(len(SCANNERS)))]
    is_sharp = bool(rng.random() < SHARP_SHARE)
    noise = rng.uniform(20, 29) if is_sharp else rng.uniform(9, 22)
    field_of_view = 2 * (build.half_width + MUSCLE_MM + build.fat) * rng.uniform(1.12, 1.19)
    pixel = round(float(field_of_view / matrix), 3)
    thickness = round(float(rng.uniform(3.6, 5.0)) * min(1.0, 128 / matrix), 2)
    below, above = rng.uniform(17, 28), rng.uniform(17, 28)
    shift = rng.uniform(-6, 6, 2)
    table = rng.uniform((-15, -180, -900), (15, -120, -100))
    half = pixel * (matrix - 1) / 2
    return Protocol(
        manufacturer=manufacturer,
        kernel=sharp if is_sharp else smooth,
        sharp=is_sharp,
        kvp=int(rng.choice((100, 120, 120, 120, 140))),
        noise_hu=round(float(noise), 1),
        spacing_mm=(thickness, pixel, pixel),
        start_mm=(-below, -half + 12 + shift[0], -half + shift[1]),
        shape=(int(np.ceil((build.height + below + above) / thickness)) + 1, matrix, matrix),
        origin_mm=(round(-half + table[0], 2), round(-half + table[1], 2), round(table[2], 2)),
    )


def scan(hu_DHW: Field, protocol: Protocol, rng: np.random.Generator) -> NDArray[np.int16]:
    """Blur as the kernel does, add its noise, and round to what the scanner stores.

    Smooth kernels give low-pass noise, sharp ones high-pass noise and a slight overshoot at edges.
    """
    noise = rng.standard_normal(hu_DHW.shape, dtype=np.float32)
    soft = _blur(noise, 0.75 if not protocol.sharp else 0.8)
    grain = noise - np.float32(0.7) * soft if protocol.sharp else soft
    grain *= np.float32(protocol.noise_hu / float(grain.std()))
    image = _blur(hu_DHW, 0.55 if not protocol.sharp else 0.3)
    if protocol.sharp:
        image += np.float32(0.15) * (image - _blur(image, 0.7))
    image += grain
    return np.rint(np.clip(image, *STORED_HU)).astype(np.int16)


def _blur(volume: Field, sigma: float) -> Field:
    for axis, width in ((1, sigma), (2, sigma)):
        volume = gaussian_filter1d(volume, width, axis=axis, truncate=3.0, mode="nearest")
    return volume
