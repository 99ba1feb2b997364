"""The patterns of a scan's lungs: every voxel's, and how much of the lungs each takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.clustering import ClusterModel
from dcam_dist.clustering.torch_lloyd import nearest
from dcam_dist.clustering.torch_points import points_of_a_block, project
from dcam_dist.distributed import ranks_of
from dcam_dist.training.voxels import CaseVoxels, VoxelSource, visit_voxels


@dataclass(frozen=True, eq=False)
class PatternTable:
    """What each scan's lungs consist of.

    Attributes:
        case_id_N: The scans.
        voxel_NK: int64, lung voxels of each pattern, on the training grid.
        hu_NK: Sum of the HU of these voxels, each clipped to the window that the network sees.
    """

    case_id_N: tuple[str, ...]
    voxel_NK: NDArray[np.int64]
    hu_NK: NDArray[np.float64]

    @property
    def shares(self) -> NDArray[np.float32]:
        """Share of a scan's lung voxels in each pattern, (N, K); rows add up to 1."""
        share_NK: NDArray[np.float32] = (self.voxel_NK / self.voxel_NK.sum(axis=1, keepdims=True)).astype(np.float32)
        return share_NK

    @property
    def mean_hu(self) -> NDArray[np.float64]:
        """Mean HU of all voxels of each pattern, within the window, (K,); NaN of a pattern without any."""
        voxel_K = self.voxel_NK.sum(axis=0)
        mean_K: NDArray[np.float64] = np.divide(
            self.hu_NK.sum(axis=0), voxel_K, out=np.full(len(voxel_K), np.nan), where=voxel_K > 0
        )
        return mean_K

    def first(self, scans: int) -> "PatternTable":
        """The table of the first scans alone."""
        return PatternTable(self.case_id_N[:scans], self.voxel_NK[:scans], self.hu_NK[:scans])


def pattern_table(source: VoxelSource, case_ids: Sequence[str], model: ClusterModel) -> PatternTable:
    """Label every lung voxel of the scans. All ranks call together; each has the whole table.

    Raises:
        DataError: When a stored volume is damaged.
        FailedElsewhere: When another rank has failed.
    """
    patterns, (low, high) = len(model.centroid_KP), source.config.data.window_hu
    found: list[NDArray[np.float64]] = []

    def count(voxels: CaseVoxels) -> None:
        label_V = label_volume(voxels, model, source.config.patterns.supervoxel)[voxels.lung_mask_DHW] - 1
        hu_V = low + (high - low) * voxels.volume_DHW[voxels.lung_mask_DHW].astype(np.float64)
        found.append(np.stack([np.bincount(label_V, weights, patterns) for weights in (None, hu_V)]))

    visit_voxels(source, case_ids, count)
    mine = np.array(found).reshape(len(found), 2, patterns)
    voxel_NK, hu_NK = ranks_of(source.context).all_rows(mine).transpose(1, 0, 2)
    return PatternTable(tuple(case_ids), voxel_NK.astype(np.int64), hu_NK)


def label_volume(voxels: CaseVoxels, model: ClusterModel, edge: int) -> NDArray[np.uint8]:
    """Patterns of a case's voxels, (D, H, W): from 1 on inside the lungs, 0 outside.

    Args:
        voxels: All cells of the case.
        model: The patterns.
        edge: Voxels along each axis of a cell; each lung voxel has its cell's pattern.
    """
    shape = tuple(size // edge for size in voxels.lung_mask_DHW.shape)
    cells = np.zeros(shape, dtype=np.uint8)
    cells.reshape(-1)[voxels.cell_N] = labels_of(voxels.features_NC, model).cpu().numpy() + 1
    for axis in range(3):
        cells = cells.repeat(edge, axis=axis) if edge > 1 else cells
    return np.where(voxels.lung_mask_DHW, cells, np.uint8(0))


@torch.no_grad()
def labels_of(features_NC: Tensor, model: ClusterModel) -> Tensor:
    """Nearest centroid of each row of features on the device they are on, (N,) int64: ``ClusterModel.assign``."""
    centroid_1KP = torch.from_numpy(model.centroid_KP)[None].to(features_NC.device)
    blocks = torch.split(features_NC, points_of_a_block(str(features_NC.device), len(model.centroid_KP)))
    return torch.cat([nearest(project(block_NC, model), centroid_1KP)[0] for block_NC in blocks])
