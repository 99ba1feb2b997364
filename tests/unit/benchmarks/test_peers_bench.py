"""The benchmarks beside peers: what the port of the whole loop does, and that every side runs."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import cycle_port, patch_loaders, peers, peers_cycle, peers_loading
from benchmarks.harness import Options
from dcam_dist.config import load_config


@pytest.fixture
def smoke(tmp_path):
    return Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path)


def test_the_port_draws_its_clusters_alike_and_as_often_as_asked():
    label_N = np.array([0] * 20 + [1] * 3 + [4] * 6)
    drawn = cycle_port.uniform_by_cluster(label_N, 30, np.random.default_rng(0))
    assert len(drawn) == 30
    counts = np.bincount(label_N[drawn], minlength=5)
    assert counts[2] == counts[3] == 0
    assert all(8 <= count <= 11 for count in counts[[0, 1, 4]])
    assert len(set(drawn[label_N[drawn] == 0])) == counts[0]  # the large cluster gives each case once at most


@pytest.mark.parametrize("with_faiss", [True, False])
def test_the_port_finds_the_clusters_of_parted_features(monkeypatch, with_faiss):
    if with_faiss:
        pytest.importorskip("faiss")
    else:
        monkeypatch.setattr(cycle_port, "find", lambda *_: None)
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 8)
    features = (rng.normal(size=(3, 16)) * 20)[truth] + rng.normal(size=(24, 16))
    label = cycle_port.assign(features.astype(np.float32), load_config(None, ["clustering.clusters=3"]), seed=0)
    assert len({*zip(truth.tolist(), label.tolist(), strict=True)}) == 3 == len(set(label.tolist()))


@pytest.mark.distributed
@pytest.mark.slow
def test_on_two_ranks_the_port_counts_a_case_twice_and_ours_none(smoke):
    config, settings = peers_cycle._settings(smoke)
    arrays, cases = peers_cycle._prepare(config, smoke)
    assert cases % 2
    twice, draws = {}, set()
    for one in (peers_cycle.Contender("port", 2), peers_cycle.Contender("ours", 2, "fp32")):
        run = peers_cycle._run(one, smoke.scratch / one.side, arrays, settings, smoke)
        twice[one.side] = [peers_cycle.counted_twice(epoch, cases) for epoch in run.epochs]
        draws |= {epoch["drawn"] if one.side == "port" else epoch["steps"] * 4 for epoch in run.epochs}
    assert twice == {"port": [1, 1], "ours": [0, 0]}
    assert len(draws) == 1


def test_loading_says_which_peers_are_not_installed(smoke, monkeypatch):
    monkeypatch.setattr(peers, "find", lambda *_: None)
    found = peers_loading.peers_loading(smoke)
    assert list(found.details["disk_bytes"]) == [peers_loading.OURS, peers_loading.NNUNET]
    assert not found.targets
    assert {peers.absent("MONAI"), peers.absent("TorchIO")} <= set(found.notes)


@pytest.fixture
def volumes(smoke):
    return peers_loading._volumes(smoke)


@pytest.fixture
def nnunet_style(smoke, volumes):
    setting, folder = peers_loading._setting(smoke), smoke.scratch / "arrays"
    patch_loaders.write_nnunet_style(folder, volumes, setting.window_hu)
    return setting, folder


def shifted(places):
    (case_id, (z, y, x)), *others = places
    return [(case_id, (z, y, x + 1 if x == 0 else x - 1)), *others]


@pytest.mark.parametrize("fault", ["place", "hu", "mask"])
def test_a_patch_that_is_not_what_the_store_holds_there_is_refused(nnunet_style, volumes, fault):
    setting, folder = nnunet_style
    batch = next(patch_loaders.nnunet_style_stream(setting, folder))
    peers_loading.check(batch, volumes, setting)
    if fault == "place":
        places = shifted(batch.places())
        batch = replace(batch, places=lambda: places)
    else:
        changed = batch.volume if fault == "hu" else batch.mask
        low, high = setting.window_hu
        changed[1, 0, 3, 4, 5] += 1 / (high - low) if fault == "hu" else 1 - 2 * (changed[1, 0, 3, 4, 5] > 0)
    with pytest.raises(AssertionError):
        peers_loading.check(batch, volumes, setting)


def test_a_third_of_the_patches_in_nnunets_style_hold_lung_in_any_case(nnunet_style):
    setting, folder = nnunet_style
    stream = patch_loaders.nnunet_style_stream(replace(setting, patch=(16, 16, 16), batch=3), folder)
    masks = [next(stream).mask for _ in range(20)]
    assert all(mask[2].any() for mask in masks)
    assert not all(mask[0].any() for mask in masks)  # the others lie anywhere


@pytest.mark.slow
def test_background_processes_give_the_same_voxels(nnunet_style, volumes):
    setting, folder = nnunet_style
    stream = patch_loaders.nnunet_style_stream(replace(setting, workers=2), folder)
    batches = [next(stream) for _ in range(4)]
    for batch in batches:
        peers_loading.check(batch, volumes, setting)
    assert len({tuple(batch.places()) for batch in batches}) == 4  # the processes draw differently
    stream.close()
