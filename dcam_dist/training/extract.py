"""Extraction: the lung-pooled features of every case under frozen weights."""

from collections.abc import Sequence

import torch

from dcam_dist.cohort import Cohort, VolumeBatch, stream_batches
from dcam_dist.config.schema import DataConfig
from dcam_dist.distributed import ProcessContext, gather_rows
from dcam_dist.models import ClusterNetwork
from dcam_dist.types import FeatureTable


@torch.no_grad()
def extract_features(
    network: ClusterNetwork,
    cohort: Cohort,
    case_ids: Sequence[str],
    data: DataConfig,
    context: ProcessContext,
    *,
    last_relu: bool = True,
) -> FeatureTable:
    """Features of the given cases, on every rank, in the order given and each case once.

    The network is put in evaluation mode: its running statistics make a case's features independent of the cases
    beside it. Ranks take every n-th case; there is no padding, so no case counts twice.

    Args:
        network: Its body gives the features.
        cohort: Where the volumes are.
        case_ids: The cases.
        data: Streaming settings.
        context: This process; all ranks must call together.
        last_relu: Whether the last ReLU of the body is applied.

    Raises:
        DataError: When a stored volume is unreadable.
    """
    network.eval()
    rows = torch.arange(len(case_ids))[context.rank :: context.world_size]
    features_NC = torch.empty(len(rows), network.body.channels, device=context.device)
    batches = ((case_ids[row],) for row in rows.tolist())
    for position, batch in enumerate(stream_batches(cohort, batches, data)):
        volume, mask = to_device(batch, context)
        features_NC[position] = network.pooled_features(volume, mask, last_relu=last_relu)[0]
    if not case_ids:
        return FeatureTable(features_NC.cpu().numpy(), ())
    gathered = gather_rows(features_NC, rows.to(context.device), len(case_ids))
    return FeatureTable(gathered.cpu().numpy(), tuple(case_ids))


def to_device(batch: VolumeBatch, context: ProcessContext) -> tuple[torch.Tensor, torch.Tensor]:
    """Volume and mask of a batch as tensors on this process's device."""
    arrays = batch.volume_BCDHW, batch.lung_mask_BCDHW
    volume, mask = (torch.from_numpy(array).to(context.device, non_blocking=True) for array in arrays)
    return volume, mask
