"""Which voxels of a case are taken, and what their features are."""

import numpy as np
import pytest
import torch

from dcam_dist.config.schema import PatternsConfig
from dcam_dist.training.voxels import block_of, cells_of, drawn_cells, rows_of_cells

SHAPE = (4, 8, 8)


@pytest.fixture
def mask():
    return np.random.default_rng(0).random(SHAPE) < 0.1


def cubes(mask, edge):
    """Every cube of ``edge`` voxels, z slowest, with the slices of its voxels."""
    for z in range(0, mask.shape[0], edge):
        for y in range(0, mask.shape[1], edge):
            for x in range(0, mask.shape[2], edge):
                yield np.s_[z : z + edge, y : y + edge, x : x + edge]


@pytest.mark.parametrize("edge", [1, 2, 4])
def test_cells_are_the_cubes_that_hold_lung(mask, edge):
    expected = [index for index, cube in enumerate(cubes(mask, edge)) if mask[cube].any()]
    np.testing.assert_array_equal(cells_of(mask, edge), expected)
    assert expected


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("edge", [1, 2, 4])
def test_features_of_a_cell_are_the_mean_over_its_lung_voxels(mask, edge, layout):
    features = torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)[0]
    found = rows_of_cells(features, torch.from_numpy(mask), cells_of(mask, edge), edge)
    expected = [
        features.numpy()[:, *cube][:, mask[cube]].mean(axis=1) for cube in cubes(mask, edge) if mask[cube].any()
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == torch.float32 and found.is_contiguous()


def test_features_in_bfloat16_are_averaged_in_float32(mask):
    features = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)).bfloat16()
    cells = cells_of(mask, 4)
    found = rows_of_cells(features, torch.from_numpy(mask), cells, 4)
    torch.testing.assert_close(found, rows_of_cells(features.float(), torch.from_numpy(mask), cells, 4), rtol=0, atol=0)


def test_a_draw_depends_on_seed_and_case_alone():
    cells, settings = np.arange(0, 300, 3), PatternsConfig(voxels_per_case=40)
    drawn = drawn_cells("a", cells, settings, 7)
    assert len(set(drawn.tolist())) == 40
    assert set(drawn.tolist()) <= set(cells.tolist())
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, drawn_cells("a", cells, settings, 7))
    for other in (drawn_cells("b", cells, settings, 7), drawn_cells("a", cells, settings, 8)):
        assert drawn.tolist() != other.tolist()


@pytest.mark.parametrize("wanted", [None, 100, 5000])
def test_all_are_taken_where_a_case_has_no_more(wanted):
    cells = np.arange(100)
    np.testing.assert_array_equal(drawn_cells("a", cells, PatternsConfig(voxels_per_case=wanted), 0), cells)


def test_a_draw_is_uniform():
    settings = PatternsConfig(voxels_per_case=50)
    taken = np.bincount(
        np.concatenate([drawn_cells(f"case{i}", np.arange(100), settings, 0) for i in range(400)]), minlength=100
    )
    assert taken.sum() == 400 * 50
    assert np.abs(taken - 200).max() < 5 * 10  # 400 coins: a standard deviation is 10


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_blocks_of_ranks_follow_each_other(ranks):
    cases = tuple("abcde")
    blocks = [block_of(cases, rank, ranks) for rank in range(ranks)]
    assert sum(blocks, ()) == cases
    assert max(map(len, blocks)) <= -(-len(cases) // ranks)
