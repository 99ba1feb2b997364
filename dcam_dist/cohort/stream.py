"""Volumes from the store into a training process: read by threads, a bounded number ahead, in a fixed order."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.store import Cohort
from dcam_dist.config.schema import DataConfig
from dcam_dist.errors import VolumeDamaged

Volume = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class VolumeBatch:
    """Some cases, ready for the network.

    Attributes:
        case_id_B: The cases.
        volume_BCDHW: float32, the HU window mapped to 0…1, one channel.
        lung_mask_BCDHW: bool, same shape.
        stall_s: Seconds that the consumer waited for this batch.
    """

    case_id_B: tuple[str, ...]
    volume_BCDHW: NDArray[np.float32]
    lung_mask_BCDHW: NDArray[np.bool_]
    stall_s: float


def stream_batches(cohort: Cohort, batches: Iterable[Sequence[str]], data: DataConfig) -> Iterator[VolumeBatch]:
    """Read batches of cases ahead of their use.

    At most ``data.prefetch`` volumes are in memory beyond the batch in use. The content does not depend on the
    number of threads or the depth of the prefetch. Threads, never forked workers: forks hang the Zarr codecs.

    Args:
        cohort: The opened cohort.
        batches: Case ids, batch by batch; an empty batch is skipped.
        data: Window, prefetch depth and threads.

    Yields:
        One ``VolumeBatch`` for each batch.

    Raises:
        VolumeDamaged: When a stored volume is missing or damaged; names the case.
    """
    plan = [tuple(batch) for batch in batches if batch]
    wanted = (case_id for batch in plan for case_id in batch)
    with ThreadPoolExecutor(data.threads, thread_name_prefix="volumes") as pool:
        ahead: deque[Future[Volume]] = deque()
        for case_id in islice(wanted, data.prefetch):
            ahead.append(pool.submit(read_volume, cohort, case_id, data.window_hu))
        try:
            for batch in plan:
                volumes: list[Volume] = []
                started = time.perf_counter()
                for _ in batch:
                    volumes.append(ahead.popleft().result())
                    for case_id in islice(wanted, 1):
                        ahead.append(pool.submit(read_volume, cohort, case_id, data.window_hu))
                yield _collate(batch, volumes, time.perf_counter() - started)
        finally:
            for future in ahead:
                future.cancel()


def read_volume(cohort: Cohort, case_id: str, window_hu: tuple[float, float]) -> Volume:
    """One case: float32 volume in 0…1 and bool mask, both (D, H, W).

    Raises:
        VolumeDamaged: When a stored array is missing or damaged.
    """
    hu, mask = cohort.read(case_id)
    if not mask.any():
        raise VolumeDamaged(f"{cohort.path}: case {case_id}: its lung mask is empty; ingest this case again")
    return _windowed(hu, *window_hu), mask


def _windowed(hu_DHW: NDArray[np.int16], low: float, high: float) -> NDArray[np.float32]:
    scaled = (hu_DHW.astype(np.float32) - np.float32(low)) * np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def _collate(batch: tuple[str, ...], volumes: list[Volume], stall_s: float) -> VolumeBatch:
    volume = np.stack([volume for volume, _ in volumes])[:, None]
    mask = np.stack([mask for _, mask in volumes])[:, None]
    return VolumeBatch(batch, volume, mask, stall_s)
