"""Extraction: the lung-pooled features of every case under frozen weights."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort, VolumeBatch, stream_batches
from dcam_dist.cohort.layout import mend
from dcam_dist.config.schema import DataConfig
from dcam_dist.distributed import ProcessContext, gather_rows, max_over_ranks, share_notes
from dcam_dist.errors import DataError
from dcam_dist.models import ClusterNetwork
from dcam_dist.types import FeatureTable

VOLUMES_BETWEEN_MEETINGS = 8  # of each rank; some seconds on a GPU


@dataclass(frozen=True, eq=False)
class Extraction:
    """The features of the cases that could be read; the same on every rank.

    Attributes:
        table: Features of the others than the damaged.
        damaged: What is wrong with the damaged cases, by case id.
        stall_s: Seconds that a rank waited for volumes, of the one that waited longest.
    """

    table: FeatureTable
    damaged: Mapping[str, str]
    stall_s: float


def extract_features(
    network: ClusterNetwork,
    cohort: Cohort,
    case_ids: Sequence[str],
    data: DataConfig,
    context: ProcessContext,
    *,
    last_relu: bool = True,
) -> FeatureTable:
    """As ``extract_readable``, where every case must be whole.

    Raises:
        DataError: When a stored volume is damaged; names the first, on every rank alike.
    """
    found = extract_readable(network, cohort, case_ids, data, context, last_relu=last_relu)
    refuse_damaged(found.damaged, cohort)
    return found.table


@torch.no_grad()
def extract_readable(
    network: ClusterNetwork,
    cohort: Cohort,
    case_ids: Sequence[str],
    data: DataConfig,
    context: ProcessContext,
    *,
    last_relu: bool = True,
    known: FeatureTable | None = None,
    on_volumes: Callable[[int, Callable[[], FeatureTable]], None] = lambda *_: None,
) -> Extraction:
    """Features of the given cases, on every rank, in the order given and each case once.

    The network is put in evaluation mode: its running statistics make a case's features independent of the cases
    beside it. Ranks take every n-th case; there is no padding, so no case counts twice. Volumes are read whole,
    whatever the training steps read.

    Args:
        network: Its body gives the features.
        cohort: Where the volumes are.
        case_ids: The cases.
        data: Streaming settings.
        context: This process; all ranks must call together.
        last_relu: Whether the last ReLU of the body is applied.
        known: Features that are known already.
        on_volumes: Called on all ranks equally often, with the volumes that all ranks have extracted since, and how to
            get all features so far, in which all ranks must take part. It may meet the other ranks.
    """
    network.eval()
    of_case = {} if known is None else dict(zip(known.case_id_N, known.features_NC, strict=True))
    wanted = [case_id for case_id in case_ids if case_id not in of_case]
    rows = torch.arange(len(wanted))[context.rank :: context.world_size]
    features_NC = torch.zeros(len(rows), network.body.channels, device=context.device)
    damaged: dict[str, str] = {}
    stall_s = 0.0

    def extract_into(row_1C: torch.Tensor, batch: VolumeBatch) -> float:
        damaged.update(batch.damaged)
        if batch.case_id_B:
            row_1C.copy_(network.pooled_features(*to_device(batch, context), last_relu=last_relu))
        return batch.stall_s

    def features_of(done: int, total: int) -> FeatureTable:
        """Of the first cases that were wanted and of the known ones, without the damaged, in the order of the cases."""
        faults, found = share_notes(damaged, context), dict(of_case)
        if total:
            rows_NC = gather_rows(features_NC[:done], rows[:done].to(context.device), total).cpu().numpy()
            found |= {case_id: rows_NC[row] for row, case_id in enumerate(wanted[:total]) if case_id not in faults}
        return _in_order(found, case_ids, network.body.channels)

    with closing(stream_batches(cohort, [(wanted[row],) for row in rows.tolist()], data)) as batches:
        for done in range(1, len(rows) + 1):
            # next() in the call: a name for the batch would keep its volumes while the next one is read
            stall_s += extract_into(features_NC[done - 1 : done], next(batches))
            # counted by what every rank has to do, for the last ranks may have a case less
            if done % VOLUMES_BETWEEN_MEETINGS == 0 and done <= len(wanted) // context.world_size:
                so_far = partial(features_of, done, done * context.world_size)
                on_volumes(VOLUMES_BETWEEN_MEETINGS * context.world_size, so_far)
    table = features_of(len(rows), len(wanted))
    return Extraction(table, share_notes(damaged, context), max_over_ranks(stall_s, context))


def _in_order(of_case: Mapping[str, NDArray[np.float32]], case_ids: Sequence[str], channels: int) -> FeatureTable:
    present = tuple(case_id for case_id in case_ids if case_id in of_case)
    features_NC = (
        np.stack([of_case[case_id] for case_id in present]) if present else np.empty((0, channels), np.float32)
    )
    return FeatureTable(features_NC, present)


def refuse_damaged(damaged: Mapping[str, str], cohort: Cohort) -> None:
    """Stop where a damaged case cannot be left out.

    Raises:
        DataError: When there is one; names the first.
    """
    for case_id, fault in damaged.items():
        others = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise DataError(f"{cohort.path}: case {case_id}{others}: {fault}; {mend(cohort.path)}")


def to_device(batch: VolumeBatch, context: ProcessContext) -> tuple[torch.Tensor, torch.Tensor]:
    """Volume and mask of a batch as tensors on this process's device."""
    arrays = batch.volume_BCDHW, batch.lung_mask_BCDHW
    volume, mask = (torch.from_numpy(array).to(context.device, non_blocking=True) for array in arrays)
    return volume, mask
