"""One generated case, in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.phantom.acquisition import Protocol, draw_protocol, scan
from dcam_dist.phantom.airway import lobar_bronchi, main_airway, paint_airway
from dcam_dist.phantom.anatomy import outline
from dcam_dist.phantom.build import draw_build
from dcam_dist.phantom.grades import Disease, draw_covariates
from dcam_dist.phantom.lesions import PATTERNS
from dcam_dist.phantom.lungs import paint_lungs
from dcam_dist.phantom.tissue import AIR_HU, paint_body, paint_bones, paint_organs, paint_table

# Every part of a case draws from its own stream: a grade that needs more numbers shifts none of the other parts.
STREAMS = ("build", "protocol", "shape", "tissue", "density", "vessels", "lesions", "paraseptal", "noise", "covariates")


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """A generated scan.

    Attributes:
        hu: int16 Hounsfield units, shape ``(D, H, W)``, axes LPS.
        lung_mask: uint8, both lungs without trachea and main bronchi.
        lesion_mask: uint8, 0 none, 1 centrilobular, 2 paraseptal.
        protocol: How it was scanned, with the geometry.
        disease: What it shows.
        covariates: Patient data.
    """

    hu: NDArray[np.int16]
    lung_mask: NDArray[np.uint8]
    lesion_mask: NDArray[np.uint8]
    protocol: Protocol
    disease: Disease
    covariates: dict[str, str | int | float]


def make_case(index: int, disease: Disease, *, seed: int = 0, matrix: int = 128) -> PhantomCase:
    """Generate one case.

    Args:
        index: Its place in the cohort, 0-based; with the seed it decides the patient and the scanner.
        disease: What the case suffers from.
        seed: The cohort's seed.
        matrix: Rows and columns of the slices.
    """
    children = np.random.SeedSequence((seed, index)).spawn(len(STREAMS))
    streams = {name: np.random.default_rng(child) for name, child in zip(STREAMS, children, strict=True)}
    build = draw_build(streams["build"], PATTERNS[disease.grade].hyperinflation)
    protocol = draw_protocol(streams["protocol"], build, matrix)
    frame = protocol.frame()
    edge_mm = float(np.cbrt(np.prod(frame.spacing_mm)))
    hu = np.full(frame.shape, AIR_HU, dtype=np.float32)
    outlines = outline(frame, build, streams["shape"])
    paint_body(hu, frame, build, outlines, streams["tissue"], edge_mm)
    paint_organs(hu, frame, build, outlines, edge_mm)
    paint_bones(hu, frame, build, outlines, edge_mm)
    paint_table(hu, frame, build, edge_mm)
    lungs = paint_lungs(hu, frame, build, outlines, disease, streams, edge_mm)
    paint_airway(hu, frame, main_airway(build, float(frame.z_D[-1])), edge_mm)
    paint_airway(hu, frame, lobar_bronchi(build), edge_mm)
    return PhantomCase(
        scan(hu, protocol, streams["noise"]),
        lungs.lung_mask,
        lungs.lesion_mask,
        protocol,
        disease,
        draw_covariates(streams["covariates"], disease),
    )
