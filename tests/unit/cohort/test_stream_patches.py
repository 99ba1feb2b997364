import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from support.cohorts import SHAPE, make_volume
from zarr.storage import LocalStore

from dcam_dist.cohort import CohortDescription, VolumeLevels, close_cohort, create_cohort, open_cohort, write_case
from dcam_dist.cohort.patches import LEAST_LUNG, lung_patch
from dcam_dist.cohort.stream import read_patch, read_volume
from dcam_dist.config import GridConfig
from dcam_dist.types import CaseRecord, Geometry

WINDOW = (-1150.0, -300.0)


def test_a_patch_is_the_region_of_the_whole_volume_that_its_seed_and_the_mask_decide(small_cohort):
    cohort = open_cohort(small_cohort)
    volume, mask = read_volume(cohort, "case004", WINDOW)
    places = set()
    for seed in range(12):
        box = lung_patch(mask, (16, 16, 16), seed)
        patch, patch_mask = read_patch(cohort, "case004", WINDOW, (16, 16, 16), seed)
        np.testing.assert_array_equal(patch, volume[box])
        np.testing.assert_array_equal(patch_mask, mask[box])
        places.add(tuple(side.start for side in box))
    assert len(places) > 3


masks = st.builds(
    lambda shape, share, seed: np.random.default_rng(seed).random(shape) < share,
    st.tuples(*[st.integers(3, 9)] * 3),
    st.sampled_from([0.02, 0.2, 0.9]),
    st.integers(0, 10**6),
)


@given(masks, st.data(), st.integers(0, 2**32 - 1))
def test_a_patch_lies_in_the_grid_and_holds_lung(mask, data, seed):
    mask[tuple(size // 2 for size in mask.shape)] = True
    shape = data.draw(st.tuples(*(st.integers(1, size) for size in mask.shape)))
    box = lung_patch(mask, shape, seed)
    assert mask[box].shape == shape
    assert mask[box].any()
    assert box == lung_patch(mask, shape, seed)


def test_a_patch_holds_an_eighth_of_lung_where_there_is_as_much():
    _, mask = make_volume(0, np.random.default_rng(0), (32, 64, 64))
    assert mask.dtype == bool
    for seed in range(200):
        assert mask[lung_patch(mask, (16, 16, 16), seed)].mean() >= LEAST_LUNG


def test_every_lung_voxel_can_be_a_centre():
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 1, 2] = mask[1, 0, 0] = mask[1, 2, 3] = True
    drawn = {tuple(side.start for side in lung_patch(mask, (1, 1, 1), seed)) for seed in range(60)}
    assert drawn == {(0, 1, 2), (1, 0, 0), (1, 2, 3)}


@pytest.fixture(scope="module")
def grid_of_four_chunks(tmp_path_factory):
    path, shape = tmp_path_factory.mktemp("patches") / "c.zarr", (16, 256, 256)
    create_cohort(path, CohortDescription(GridConfig(shape=shape), ("a", "b")))
    hu = np.random.default_rng(0).integers(-1000, 100, shape).astype(np.int16)
    mask = np.zeros(shape, np.uint8)
    mask[4:12, 40:60, 40:60] = 1  # in the first chunk alone
    space = Geometry.from_matrix(shape, np.eye(4))
    write_case(path, CaseRecord("case", "p", "train", 0, space, space, space), VolumeLevels(hu, mask, hu, mask))
    close_cohort(path, [CaseRecord("case", "p", "train", 0, space, space, space)], [])
    return open_cohort(path)


def test_only_the_chunks_of_the_patch_are_read(grid_of_four_chunks, monkeypatch):
    read, get = [], LocalStore.get

    async def counting(self, key, prototype, byte_range=None):
        value = await get(self, key, prototype, byte_range)
        if "labels" not in str(self.root) and key.endswith("c/0/0/0") and value is not None:
            read.append(len(value))
        return value

    monkeypatch.setattr(LocalStore, "get", counting)
    grid_of_four_chunks.read("case")
    whole = sum(read)
    read.clear()
    read_patch(grid_of_four_chunks, "case", WINDOW, (16, 32, 32), seed=1)
    assert 0 < sum(read) < 0.3 * whole
    assert zarr.open_array(grid_of_four_chunks.path / "cases/case/1").shards == (16, 256, 256)


def test_a_patch_may_be_the_whole_grid(small_cohort):
    cohort = open_cohort(small_cohort)
    for one, other in zip(
        read_patch(cohort, "case000", WINDOW, SHAPE, 3), read_volume(cohort, "case000", WINDOW), strict=True
    ):
        np.testing.assert_array_equal(one, other)
