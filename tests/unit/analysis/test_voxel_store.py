"""The store of voxels' features: the rows come back as they went in, or an error does."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.errors import DataError
from dcam_dist.training import voxel_store
from dcam_dist.training.voxel_store import VoxelWriter, open_rows

CHANNELS = 5
STEP = 8


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voxel_store, "rows_of_a_chunk", lambda _: STEP)
        yield


def write(path, parts):
    """Rows in parts of the given lengths; what was written."""
    values = np.random.default_rng(0).normal(size=(sum(parts), CHANNELS)).astype(np.float32)
    writer, start = VoxelWriter(path, {f"case{i}": n for i, n in enumerate(parts)}, CHANNELS), 0
    for count in parts:
        writer.add(values[start : start + count], np.arange(start, start + count))
        start += count
    writer.close()
    return values


@given(parts=st.lists(st.integers(0, 3 * STEP), max_size=5))
def test_rows_come_back_in_order_a_chunk_at_a_time(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("store") / "rank.zarr"
    values, rows = write(path, parts), open_rows(path)
    assert rows.shape == values.shape
    for _ in range(2):
        chunks = list(rows.chunks())
        np.testing.assert_array_equal(np.concatenate([np.empty((0, CHANNELS), np.float32), *chunks]), values)
        assert all(chunk.dtype == np.float32 and 0 < len(chunk) <= STEP for chunk in chunks)


def test_the_store_says_whose_rows_they_are(tmp_path):
    write(tmp_path / "rank.zarr", [3, 20])
    group = zarr.open_group(tmp_path / "rank.zarr", mode="r")
    assert group.attrs["dcam_dist"]["cases"] == [{"case_id": "case0", "rows": 3}, {"case_id": "case1", "rows": 20}]
    np.testing.assert_array_equal(group["cells"][:], np.arange(23))
    assert len([file for file in (tmp_path / "rank.zarr" / "features" / "c").rglob("*") if file.is_file()]) == 3


def damage(file, kind):
    content = bytearray(file.read_bytes())
    if kind == "delete":
        file.unlink()
    elif kind == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes({"truncate": content[:-7], "zeros": bytes(len(content)), "empty": b""}[kind])


@pytest.mark.parametrize("kind", ["flip", "truncate", "zeros", "empty", "delete"])
def test_a_damaged_chunk_is_an_error_that_names_its_file(tmp_path, kind):
    path = tmp_path / "rank.zarr"
    values = write(path, [20])
    damage(path / "features" / "c" / "1" / "0", kind)
    chunks = open_rows(path).chunks()
    np.testing.assert_array_equal(next(chunks), values[:STEP])
    with pytest.raises(DataError, match=r"features/c/1/0: .*extracted anew"):
        next(chunks)


@pytest.mark.parametrize("bit", range(0, 8 * (4 * STEP * CHANNELS + 4), 37))
def test_every_bit_is_under_the_checksum(tmp_path, bit):
    path = tmp_path / "rank.zarr"
    write(path, [STEP])
    file = path / "features" / "c" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        list(open_rows(path).chunks())


def test_missing_rows_are_no_store(tmp_path):
    writer = VoxelWriter(tmp_path / "rank.zarr", {"a": 9}, CHANNELS)
    writer.add(np.zeros((8, CHANNELS), np.float32), np.arange(8))
    with pytest.raises(ValueError, match="8 rows were written where 9"):
        writer.close()


def test_no_store_is_one_line(tmp_path):
    with pytest.raises(DataError, match="holds no features of voxels"):
        open_rows(tmp_path)
