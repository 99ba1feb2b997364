"""The roofline of ``benchmarks.throughput``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.machine_peaks import Peaks

COLOURS = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00")


@dataclass(frozen=True)
class Point:
    """A contender.

    Attributes:
        name: For the legend.
        intensity: Operations for each byte moved.
        flops: Operations a second.
    """

    name: str
    intensity: float
    flops: float


def draw_roofline(fp32: Peaks, bf16: Peaks, points: Sequence[Point], path: Path) -> None:
    """Reached against what copies and matrix products of this machine allow."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    intensity = np.geomspace(0.5, 2000, 100)
    for peaks, name, style in ((fp32, "fp32", "-"), (bf16, "bf16", "--")):
        roof = np.minimum(peaks.flops, intensity * peaks.copy) / 1e12
        axes.plot(intensity, roof, style, color="black", label=f"roof, {name}")
    for point, colour in zip(points, COLOURS, strict=False):
        axes.plot(point.intensity, point.flops / 1e12, "o", color=colour, label=point.name)
    axes.set(
        xscale="log", yscale="log", xlabel="operations for each byte that operators read and write", ylabel="TFLOP/s"
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
