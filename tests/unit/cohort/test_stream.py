import itertools
import os
import threading
import time
import weakref

import numpy as np
import pytest
from support.cohorts import SHAPE, make_cohort

from dcam_dist.cohort import open_cohort, stream, stream_batches
from dcam_dist.config.schema import DataConfig

BATCHES = [["case002", "case000"], ["case001"], [], ["case000", "case000", "case003"]]
SEEDS = [[5, 6], [7], [], [8, 9, 10]]
PATCH = (16, 16, 16)


def collected(cohort, *, patches=False, **data):
    seeds = SEEDS if patches else None
    return list(stream_batches(cohort, BATCHES, DataConfig(patch=PATCH, **data), patch_seeds=seeds))


def test_batches_hold_the_windowed_volumes_in_the_order_asked_for(small_cohort):
    cohort = open_cohort(small_cohort)
    batches = collected(cohort)
    assert [batch.case_id_B for batch in batches] == [tuple(batch) for batch in BATCHES if batch]
    assert not any(batch.damaged for batch in batches)
    hu = cohort.hu("case000").compute().astype(np.float64)
    np.testing.assert_allclose(batches[0].volume_BCDHW[1, 0], np.clip((hu + 1150) / 850, 0, 1), atol=1e-6)
    assert batches[0].volume_BCDHW.dtype == np.float32
    assert batches[2].lung_mask_BCDHW.shape == (3, 1, *SHAPE)
    np.testing.assert_array_equal(batches[1].lung_mask_BCDHW[0, 0], cohort.lung_mask("case001").compute() > 0)


@pytest.mark.parametrize("patches", [False, True], ids=["whole volumes", "patches"])
def test_batches_are_the_same_for_every_prefetch_depth_and_thread_count(small_cohort, patches):
    cohort = open_cohort(small_cohort)
    expected = collected(cohort, patches=patches)
    for prefetch, threads in itertools.product(range(1, 7), range(1, 5)):
        batches = collected(cohort, patches=patches, prefetch=prefetch, threads=threads)
        for one, other in zip(expected, batches, strict=True):
            assert one.case_id_B == other.case_id_B
            np.testing.assert_array_equal(one.volume_BCDHW, other.volume_BCDHW)
            np.testing.assert_array_equal(one.lung_mask_BCDHW, other.lung_mask_BCDHW)


@pytest.mark.parametrize(("prefetch", "threads"), [(1, 1), (2, 4), (5, 3)])
def test_no_more_volumes_are_in_memory_than_the_prefetch_and_the_batch_in_use(
    small_cohort, monkeypatch, prefetch, threads
):
    alive, most, lock = set(), [0], threading.Lock()
    read = stream.read_volume

    def counted(*arguments):
        volume, mask = read(*arguments)
        token = object()
        with lock:
            alive.add(token)
            most[0] = max(most[0], len(alive))
        weakref.finalize(volume, alive.discard, token)
        return volume, mask

    monkeypatch.setattr(stream, "read_volume", counted)
    data = DataConfig(prefetch=prefetch, threads=threads)
    # its volumes are copied into the batch, so that what is alive of the reading is beyond it
    for _ in stream_batches(open_cohort(small_cohort), [["case000", "case001", "case003"]] * 5, data):
        time.sleep(0.02)
        assert len(alive) <= prefetch
    assert 1 <= most[0] <= prefetch
    assert not alive


def test_nothing_is_forked(small_cohort, monkeypatch):
    def fork():
        raise AssertionError("a fork hangs the codecs")

    monkeypatch.setattr(os, "fork", fork)
    started, start = [], threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self.name), start(self))[1])
    assert len(collected(open_cohort(small_cohort), threads=3)) == 3
    assert any(name.startswith("volumes") for name in started)


def test_leaving_the_stream_early_ends_its_threads(small_cohort):
    before = threading.active_count()
    batches = stream_batches(open_cohort(small_cohort), [["case000"]] * 9, DataConfig())
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("volumes")]
    assert threading.active_count() <= before + 1  # zarr keeps its own reading thread


@pytest.mark.parametrize("array", ["1", "labels/lungs/1"])
@pytest.mark.parametrize("damage", ["flip", "unlink", "empty", "truncate", "zeros"])
@pytest.mark.parametrize("patches", [False, True], ids=["whole volumes", "patches"])
def test_a_damaged_volume_is_told_by_its_batch_and_is_never_read_as_zeros(tmp_path, damage, array, patches):
    path = make_cohort(tmp_path / "c.zarr", 3)
    shard = path / "cases" / "case001" / array / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    flipped = content.copy()
    flipped[len(content) // 2] ^= 1
    broken = {"flip": flipped, "empty": b"", "truncate": content[: len(content) // 3], "zeros": bytes(len(content))}
    shard.unlink() if damage == "unlink" else shard.write_bytes(broken[damage])
    batches = [["case000", "case001"], ["case001"], ["case002"]]
    data, seeds = DataConfig(patch=PATCH), [[1, 2], [3], [4]] if patches else None
    both, alone, after = stream_batches(open_cohort(path), batches, data, patch_seeds=seeds)
    assert both.case_id_B == ("case000",)
    assert both.volume_BCDHW.shape[0] == both.lung_mask_BCDHW.shape[0] == 1
    assert both.volume_BCDHW.any()
    assert both.damaged.keys() == alone.damaged.keys() == {"case001"}
    assert both.damaged["case001"].startswith("volume on the" if array == "1" else "lung mask on the")
    assert str(tmp_path) not in both.damaged["case001"]
    assert alone.case_id_B == () and not alone.volume_BCDHW.size
    assert after.case_id_B == ("case002",) and not after.damaged
