"""The quality report of a cohort: pictures of its cases, outliers, reasons, distributions."""

from dcam_dist.ingest.quality.montage import MONTAGE, montage_of
from dcam_dist.ingest.quality.pictures import picture_of
from dcam_dist.ingest.quality.report import PAGE, TABLE, write_quality_report

__all__ = ["MONTAGE", "PAGE", "TABLE", "montage_of", "picture_of", "write_quality_report"]
