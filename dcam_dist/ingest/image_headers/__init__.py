"""What the header of an image file says of its voxels, read strictly: no other library sees it before."""

from dcam_dist.ingest.image_headers.layout import VoxelLayout, check_whole
from dcam_dist.ingest.image_headers.metaimage import metaimage_layout
from dcam_dist.ingest.image_headers.nifti import nifti_layout
from dcam_dist.ingest.image_headers.nrrd import nrrd_layout

__all__ = ["VoxelLayout", "check_whole", "metaimage_layout", "nifti_layout", "nrrd_layout"]
