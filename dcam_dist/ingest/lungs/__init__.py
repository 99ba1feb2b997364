"""A lung mask for scans that come without one."""

from dcam_dist.ingest.lungs.segment import LungSegmentation, segment_lungs

__all__ = ["LungSegmentation", "segment_lungs"]
