"""Dense features of the lungs' voxels, case by case, under frozen weights.

A case's dense features are whole in memory while it is looked at, with the rows taken from them; no more than that.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dcam_dist.cohort import Cohort, VolumeBatch, stream_batches
from dcam_dist.config import Config
from dcam_dist.config.schema import PatternsConfig
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import ProcessContext
from dcam_dist.models import ClusterNetwork
from dcam_dist.training.extract import refuse_damaged, to_device
from dcam_dist.training.together import together

Cells = NDArray[np.int64]
Choose = Callable[[str, Cells], Cells]


@dataclass(frozen=True, eq=False)
class VoxelSource:
    """What dense features are made of, and by whom.

    Attributes:
        network: In evaluation mode, on the context's device; its features have the grid's resolution.
        cohort: Where the volumes are.
        config: ``data``, ``patterns``, ``seed`` and ``training.last_relu`` are read.
        context: This process.
    """

    network: ClusterNetwork
    cohort: Cohort
    config: Config
    context: ProcessContext


@dataclass(frozen=True, eq=False)
class CaseVoxels:
    """Features of one case's lungs.

    A cell is a cube of ``patterns.supervoxel`` voxels along each axis that holds lung; its features are the mean over
    its lung voxels. With 1 it is a voxel.

    Attributes:
        case_id: The case.
        features_NC: float32, on the device.
        cell_N: Flat index of each row's cell in the volume of cells, z slowest, ascending.
        volume_DHW: float32, the HU window mapped to 0…1.
        lung_mask_DHW: bool.
    """

    case_id: str
    features_NC: Tensor
    cell_N: Cells
    volume_DHW: NDArray[np.float32]
    lung_mask_DHW: NDArray[np.bool_]


def visit_voxels(
    source: VoxelSource,
    case_ids: Sequence[str],
    use: Callable[[CaseVoxels], None],
    choose: Choose = lambda _, cell_N: cell_N,
) -> None:
    """Pass this rank's block of the cases through the network, one after the other, and hand their features on.

    All ranks call together with the same cases, and meet after each: none waits longer for another than a case takes.

    Args:
        source: Network and volumes.
        case_ids: The cases of all ranks.
        use: Called for each case of this rank's block, in order. It must not keep the features or meet other ranks.
        choose: Which of a case's cells to take; all by default.

    Raises:
        DataError: When a stored volume is damaged; names it.
        FailedElsewhere: When another rank has failed.
    """
    mine = block_of(case_ids, source.context.rank, source.context.world_size)
    longest = -(-len(case_ids) // source.context.world_size)
    with closing(stream_batches(source.cohort, [(case_id,) for case_id in mine], source.config.data)) as batches:
        for step in range(longest):
            visit = partial(_visit_next, source, batches, use, choose)
            together(visit if step < len(mine) else _nothing, source.context)


def block_of(case_ids: Sequence[str], rank: int, ranks: int) -> tuple[str, ...]:
    """A rank's cases: contiguous blocks, so that the rows of all ranks in their order are those of all cases."""
    return tuple(case_ids[len(case_ids) * rank // ranks : len(case_ids) * (rank + 1) // ranks])


def cells_of(lung_mask_DHW: NDArray[np.bool_], edge: int) -> Cells:
    """The cells of a case: flat indices of the cubes of ``edge`` voxels along each axis that hold lung, ascending."""
    d, h, w = (size // edge for size in lung_mask_DHW.shape)
    return np.flatnonzero(lung_mask_DHW.reshape(d, edge, h, edge, w, edge).any(axis=(1, 3, 5)))


def drawn_cells(case_id: str, cell_N: Cells, settings: PatternsConfig, seed: int) -> Cells:
    """``patterns.voxels_per_case`` of a case's cells, ascending, without replacement; all where it has no more.

    The draw depends on the seed and the case's id alone.
    """
    wanted = settings.voxels_per_case
    if wanted is None or len(cell_N) <= wanted:
        return cell_N
    rng = np.random.default_rng(derived_seed(seed, f"voxels of {case_id}", 0))
    return np.sort(rng.choice(cell_N, wanted, replace=False))


def rows_of_cells(features_CDHW: Tensor, lung_mask_DHW: Tensor, cell_N: Cells, edge: int) -> Tensor:
    """Features of cells, (N, C) float32: the means over their lung voxels.

    Args:
        features_CDHW: Dense features.
        lung_mask_DHW: bool, on the same device.
        cell_N: Each of them holds lung.
        edge: Voxels along each axis of a cell; divides the volume's sizes.
    """
    if edge == 1:
        z, y, x = (
            torch.from_numpy(axis).to(features_CDHW.device) for axis in np.unravel_index(cell_N, _shape(features_CDHW))
        )
        return features_CDHW[:, z, y, x].T.float().contiguous()
    cells = torch.from_numpy(cell_N).to(features_CDHW.device)
    share_N = F.avg_pool3d(lung_mask_DHW[None, None].float(), edge).flatten()[cells]
    rows_NC = torch.empty(len(cells), len(features_CDHW), device=features_CDHW.device)
    for channel, values_DHW in enumerate(features_CDHW):  # one by one: no float32 copy of them all
        rows_NC[:, channel] = F.avg_pool3d((values_DHW.float() * lung_mask_DHW)[None, None], edge).flatten()[cells]
    return rows_NC / share_N[:, None]


@torch.no_grad()
def _visit_next(
    source: VoxelSource, batches: Generator[VolumeBatch], use: Callable[[CaseVoxels], None], choose: Choose
) -> None:
    batch = next(batches)
    refuse_damaged(batch.damaged, source.cohort)
    (case_id,), edge = batch.case_id_B, source.config.patterns.supervoxel
    volume, mask = to_device(batch, source.context)
    lung_mask_DHW = batch.lung_mask_BCDHW[0, 0]
    cell_N = choose(case_id, cells_of(lung_mask_DHW, edge))
    features_CDHW = source.network.body(volume, last_relu=source.config.training.last_relu)[0]
    rows_NC = rows_of_cells(features_CDHW, mask[0, 0], cell_N, edge)
    del features_CDHW
    use(CaseVoxels(case_id, rows_NC, cell_N, batch.volume_BCDHW[0, 0], lung_mask_DHW))


def _shape(features_CDHW: Tensor) -> tuple[int, ...]:
    return tuple(features_CDHW.shape[1:])


def _nothing() -> None: ...
