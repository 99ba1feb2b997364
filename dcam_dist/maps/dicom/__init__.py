"""Maps as DICOM objects on the slices of the scan, for archives and clinical viewers (extra ``dicom``)."""

from dcam_dist.maps.dicom.source import SourceSeries, find_series
from dcam_dist.maps.dicom.write import FOLDER, check_highdicom, write_dicom

__all__ = ["FOLDER", "SourceSeries", "check_highdicom", "find_series", "write_dicom"]
