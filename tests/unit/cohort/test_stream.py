import threading

import numpy as np
import pytest
from support.cohorts import SHAPE, make_cohort

from dcam_dist.cohort import open_cohort, stream_batches
from dcam_dist.config.schema import DataConfig
from dcam_dist.errors import VolumeDamaged

BATCHES = [["case002", "case000"], ["case001"], [], ["case000", "case000", "case003"]]


def collected(cohort, **data):
    return list(stream_batches(cohort, BATCHES, DataConfig(**data)))


def test_batches_hold_the_windowed_volumes_in_the_order_asked_for(small_cohort):
    cohort = open_cohort(small_cohort)
    batches = collected(cohort)
    assert [batch.case_id_B for batch in batches] == [tuple(batch) for batch in BATCHES if batch]
    hu = cohort.hu("case000").compute().astype(np.float64)
    np.testing.assert_allclose(batches[0].volume_BCDHW[1, 0], np.clip((hu + 1150) / 850, 0, 1), atol=1e-6)
    assert batches[0].volume_BCDHW.dtype == np.float32
    assert batches[2].lung_mask_BCDHW.shape == (3, 1, *SHAPE)
    np.testing.assert_array_equal(batches[1].lung_mask_BCDHW[0, 0], cohort.lung_mask("case001").compute() > 0)


@pytest.mark.parametrize(("prefetch", "threads"), [(1, 1), (2, 3), (9, 2)])
def test_batches_do_not_depend_on_prefetch_and_threads(small_cohort, prefetch, threads):
    cohort = open_cohort(small_cohort)
    for one, other in zip(collected(cohort), collected(cohort, prefetch=prefetch, threads=threads), strict=True):
        np.testing.assert_array_equal(one.volume_BCDHW, other.volume_BCDHW)
        np.testing.assert_array_equal(one.lung_mask_BCDHW, other.lung_mask_BCDHW)


def test_no_more_volumes_are_read_than_the_prefetch_allows(small_cohort, monkeypatch):
    from dcam_dist.cohort import stream

    started, read = [], stream.read_volume
    monkeypatch.setattr(stream, "read_volume", lambda *a: started.append(a[1]) or read(*a))
    batches = stream_batches(open_cohort(small_cohort), [["case000"]] * 9, DataConfig(prefetch=2, threads=1))
    next(batches)
    assert len(started) <= 1 + 2
    batches.close()


def test_leaving_the_stream_early_ends_its_threads(small_cohort):
    before = threading.active_count()
    batches = stream_batches(open_cohort(small_cohort), [["case000"]] * 9, DataConfig())
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("volumes")]
    assert threading.active_count() <= before + 1  # zarr keeps its own reading thread


@pytest.mark.parametrize("damage", ["flip", "unlink", "empty", "truncate"])
def test_a_damaged_volume_stops_by_name_and_is_never_read_as_zeros(tmp_path, damage):
    path = make_cohort(tmp_path / "c.zarr", 2)
    (shard,) = [file for file in (path / "cases" / "case001" / "1" / "c").rglob("*") if file.is_file()]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes({"flip": content, "unlink": b"", "empty": b"", "truncate": content[: len(content) // 3]}[damage])
    if damage == "unlink":
        shard.unlink()
    with pytest.raises(VolumeDamaged, match="case001"):
        list(stream_batches(open_cohort(path), [["case000"], ["case001"]], DataConfig()))
