import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dcam_dist.clustering import ClusterModel
from dcam_dist.errors import DataError
from dcam_dist.runs import Checkpoint, latest_checkpoint, read_checkpoint, write_checkpoint
from dcam_dist.types import Assignment


def checkpoint(epoch=1, *, finished=False, supervised=False):
    rng = np.random.default_rng(epoch)
    arrays = [rng.normal(size=size).astype(np.float32) for size in (5, 5, (2, 5), 2, (3, 2))]
    return Checkpoint(
        epoch=epoch,
        finished=finished,
        engine={"network.w": torch.full((2, 3), float(epoch)), "optimizer.w/step": torch.tensor(3.0)},
        assignment=Assignment(np.array([0, 2, -100]), ("a", "b", "ü"), epoch - 1, 1.5, 1),
        clustering=None if supervised else ClusterModel(*arrays, whiten=True, l2_normalize=False),
    )


def assert_equal(one, other):
    assert (one.epoch, one.finished) == (other.epoch, other.finished)
    assert {k: v.tolist() for k, v in one.engine.items()} == {k: v.tolist() for k, v in other.engine.items()}
    assert one.assignment.by_case() == other.assignment.by_case()
    assert (one.clustering is None) == (other.clustering is None)
    if one.clustering is not None:
        np.testing.assert_array_equal(one.clustering.centroid_KP, other.clustering.centroid_KP)
        assert one.clustering.whiten == other.clustering.whiten


def test_arrays_in_fortran_order_are_written_by_value(tmp_path):
    # scikit-learn's PCA hands out such arrays, and safetensors would write their memory as it lies
    written = checkpoint()
    components = np.asfortranarray(written.clustering.components_PC)
    written = replace(written, clustering=replace(written.clustering, components_PC=components))
    read = read_checkpoint(write_checkpoint(tmp_path, written, keep=1)).clustering
    np.testing.assert_array_equal(read.components_PC, components)


@pytest.mark.parametrize("supervised", [False, True])
def test_what_is_written_is_read(tmp_path, supervised):
    written = checkpoint(supervised=supervised)
    assert_equal(read_checkpoint(write_checkpoint(tmp_path, written, keep=2)), written)
    assert latest_checkpoint(tmp_path / "empty") is None


def test_only_the_newest_are_kept_and_the_final_one_is_the_newest(tmp_path):
    for epoch in (1, 2, 10):
        write_checkpoint(tmp_path, checkpoint(epoch), keep=2)
    write_checkpoint(tmp_path, checkpoint(10, finished=True), keep=2)
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").iterdir())
    assert names == ["epoch-0010", "epoch-0010-final"]
    assert latest_checkpoint(tmp_path).finished


def test_every_flipped_bit_is_found_and_the_one_before_is_used(tmp_path):
    first = checkpoint(1)
    write_checkpoint(tmp_path, first, keep=5)
    newest = write_checkpoint(tmp_path, checkpoint(2), keep=5)
    rng = np.random.default_rng(0)
    for _ in range(100):
        file = sorted(newest.iterdir())[rng.integers(len(list(newest.iterdir())))]
        good = file.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        file.write_bytes(bad)
        with pytest.raises(DataError):
            read_checkpoint(newest)
        assert_equal(latest_checkpoint(tmp_path), first)
        file.write_bytes(good)


@pytest.mark.parametrize("name", ["MANIFEST.json", "state.json", "engine.safetensors", "clustering.safetensors"])
def test_a_missing_file_makes_it_no_checkpoint(tmp_path, name):
    folder = write_checkpoint(tmp_path, checkpoint(), keep=2)
    (folder / name).unlink()
    with pytest.raises(DataError, match="checkpoint"):
        latest_checkpoint(tmp_path)


def test_a_half_written_directory_is_not_looked_at(tmp_path):
    write_checkpoint(tmp_path, checkpoint(1), keep=2)
    (tmp_path / "checkpoints" / ".epoch-0002.123").mkdir()
    assert latest_checkpoint(tmp_path).epoch == 1


def test_nothing_in_a_checkpoint_is_pickle(tmp_path):
    folder = write_checkpoint(tmp_path, checkpoint(), keep=2)
    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors"}
    assert json.loads((folder / "state.json").read_text())["cluster"] == [0, 2, -100]


def test_the_cluster_model_survives_bit_for_bit(tmp_path):
    written = replace(checkpoint(), finished=True)
    read = read_checkpoint(write_checkpoint(tmp_path, written, keep=1)).clustering
    for name in ("mean_C", "scale_C", "components_PC", "variance_P", "centroid_KP"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written.clustering, name))
