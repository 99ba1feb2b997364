"""A lung mask for scans that come without one, and the sides of those that come with one."""

from dcam_dist.ingest.lungs.network import network_lungs, weights_digest
from dcam_dist.ingest.lungs.plausibility import CUT, CUT_CM2, SIDES, cut_area_cm2, refusal
from dcam_dist.ingest.lungs.segment import segment_lungs
from dcam_dist.ingest.lungs.segmentation import LungSegmentation, assess
from dcam_dist.ingest.lungs.sides import LEFT, RIGHT, label_sides

__all__ = [
    "CUT",
    "CUT_CM2",
    "LEFT",
    "RIGHT",
    "SIDES",
    "LungSegmentation",
    "assess",
    "cut_area_cm2",
    "label_sides",
    "network_lungs",
    "refusal",
    "segment_lungs",
    "weights_digest",
]
