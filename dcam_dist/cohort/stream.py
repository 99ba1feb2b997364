"""Volumes from the store into a training process: read by threads, a bounded number ahead, in a fixed order."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.layout import mend
from dcam_dist.cohort.patches import Box, lung_patch
from dcam_dist.cohort.store import Cohort
from dcam_dist.config.schema import DataConfig
from dcam_dist.errors import VolumeDamaged

Volume = tuple[NDArray[np.float32], NDArray[np.bool_]]
_Read = Callable[[Cohort, str, tuple[float, float]], Volume]


@dataclass(frozen=True, eq=False)
class VolumeBatch:
    """Some cases, ready for the network.

    Attributes:
        case_id_B: The cases that could be read.
        volume_BCDHW: float32, the HU window mapped to 0…1, one channel. No case, no voxels: all sizes but C are 0.
        lung_mask_BCDHW: bool, same shape.
        stall_s: Seconds that the consumer waited for this batch.
        damaged: What is wrong with the cases that could not, in a few words by case id.
    """

    case_id_B: tuple[str, ...]
    volume_BCDHW: NDArray[np.float32]
    lung_mask_BCDHW: NDArray[np.bool_]
    stall_s: float
    damaged: Mapping[str, str] = field(default_factory=dict)


def stream_batches(
    cohort: Cohort,
    batches: Iterable[Sequence[str]],
    data: DataConfig,
    *,
    patch_seeds: Iterable[Sequence[int]] | None = None,
) -> Generator[VolumeBatch]:
    """Read batches of cases ahead of their use.

    At most ``data.prefetch`` volumes are in memory beyond the batch in use, which its user lets go before asking for
    the next. The content does not depend on the number of threads or the depth of the prefetch. Threads, never forked
    workers: forks hang the Zarr codecs.

    A damaged volume does not end the stream: its batch comes without it and says so. Under several ranks the one that
    meets it must not leave its peers waiting.

    Args:
        cohort: The opened cohort.
        batches: Case ids, batch by batch; an empty batch is skipped.
        data: Window, prefetch depth, threads, shape of the patches.
        patch_seeds: A seed for each case of each batch: random patches of shape ``data.patch`` are read. ``None``:
            whole volumes.

    Yields:
        One ``VolumeBatch`` for each batch.
    """
    plan = [tuple(batch) for batch in batches if batch]
    draws = _whole_or_patches(plan, data, patch_seeds)
    with ThreadPoolExecutor(data.threads, thread_name_prefix="volumes") as pool:
        ahead: deque[Future[Volume]] = deque()

        def read_next() -> None:
            for case_id, read in islice(draws, 1):
                ahead.append(pool.submit(read, cohort, case_id, data.window_hu))

        for _ in range(data.prefetch):
            read_next()
        try:
            for case_ids in plan:
                yield _next_batch(cohort, case_ids, ahead, read_next)
        finally:
            for future in ahead:
                future.cancel()


def read_volume(cohort: Cohort, case_id: str, window_hu: tuple[float, float]) -> Volume:
    """One case: float32 volume in 0…1 and bool mask, both (D, H, W).

    Raises:
        VolumeDamaged: When a stored array is missing or damaged.
    """
    hu, mask = read_hu(cohort, case_id)
    return windowed(hu, *window_hu), mask


def read_hu(cohort: Cohort, case_id: str) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """One case on the training grid, before its HU are windowed: int16 HU and bool mask, both (D, H, W).

    Raises:
        VolumeDamaged: When a stored array is missing or damaged.
    """
    hu, mask = cohort.read(case_id)
    if not mask.any():
        raise _without_lungs(cohort, case_id)
    return hu, mask


def read_patch(
    cohort: Cohort, case_id: str, window_hu: tuple[float, float], shape: tuple[int, int, int], seed: int
) -> Volume:
    """A random patch of one case that holds lung, as ``read_volume``; of the HU, only the chunks it touches are read.

    Args:
        cohort: The opened cohort.
        case_id: The case.
        window_hu: Mapped to 0…1.
        shape: Of the patch, (z, y, x).
        seed: Decides the place, see ``patches.lung_patch``.

    Raises:
        VolumeDamaged: When a stored array is missing or damaged.
    """

    def choose(mask_DHW: NDArray[np.bool_]) -> Box:
        if not mask_DHW.any():
            raise _without_lungs(cohort, case_id)
        return lung_patch(mask_DHW, shape, seed)

    hu, mask = cohort.read_region(case_id, choose)
    return windowed(hu, *window_hu), mask


def _whole_or_patches(
    plan: Sequence[Sequence[str]], data: DataConfig, patch_seeds: Iterable[Sequence[int]] | None
) -> Iterator[tuple[str, _Read]]:
    """Every draw of the plan with how to read it."""
    if patch_seeds is None:
        return ((case_id, read_volume) for batch in plan for case_id in batch)
    if data.patch is None:
        raise ValueError("patch_seeds need data.patch")
    seeds = [tuple(seeds) for seeds in patch_seeds if len(seeds)]
    return (
        (case_id, partial(read_patch, shape=data.patch, seed=seed))
        for batch, batch_seeds in zip(plan, seeds, strict=True)
        for case_id, seed in zip(batch, batch_seeds, strict=True)
    )


def _next_batch(
    cohort: Cohort, case_ids: tuple[str, ...], ahead: deque[Future[Volume]], read_next: Callable[[], None]
) -> VolumeBatch:
    started = time.perf_counter()
    whole: list[str] = []
    damaged: dict[str, str] = {}
    volume_BCDHW, mask_BCDHW = np.empty((0, 1, 0, 0, 0), np.float32), np.empty((0, 1, 0, 0, 0), np.bool_)
    for case_id in case_ids:
        try:
            volume, mask = ahead.popleft().result()
        except VolumeDamaged as error:
            damaged[case_id] = _fault(error, cohort, case_id)
        else:
            if not whole:
                volume_BCDHW, mask_BCDHW = (np.empty((len(case_ids), 1, *a.shape), a.dtype) for a in (volume, mask))
            volume_BCDHW[len(whole), 0], mask_BCDHW[len(whole), 0] = volume, mask
            whole.append(case_id)
            del volume, mask  # before another is read, or one too many would be in memory
        read_next()
    count, stall_s = len(whole), time.perf_counter() - started
    return VolumeBatch(tuple(whole), volume_BCDHW[:count], mask_BCDHW[:count], stall_s, damaged)


def windowed(hu_DHW: NDArray[np.int16], low: float, high: float) -> NDArray[np.float32]:
    """HU from ``low`` to ``high`` mapped to 0…1, and clipped; float32."""
    scaled = np.empty(hu_DHW.shape, np.float32)
    for hu_HW, scaled_HW in zip(hu_DHW, scaled, strict=True):  # slice by slice: it stays in the processor's cache
        np.subtract(hu_HW, np.float32(low), out=scaled_HW, dtype=np.float32)
        np.multiply(scaled_HW, np.float32(1.0 / (high - low)), out=scaled_HW)
        np.clip(scaled_HW, 0.0, 1.0, out=scaled_HW)
    return scaled


def _without_lungs(cohort: Cohort, case_id: str) -> VolumeDamaged:
    return VolumeDamaged(f"{cohort.path}: case {case_id}: its lung mask is empty; {mend(cohort.path)}")


def _fault(error: VolumeDamaged, cohort: Cohort, case_id: str) -> str:
    """What is wrong, without where and what to do about it: a run tells that in its own words."""
    return str(error).removeprefix(f"{cohort.path}: case {case_id}: ").removesuffix(f"; {mend(cohort.path)}")
