"""The benchmarks beside peers: what the port of the whole loop does, and that every side runs."""

import numpy as np
import pytest

from benchmarks import cycle_port, peers_cycle
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


@pytest.mark.slow
def test_an_epoch_is_compared_with_the_ports(smoke):
    found = peers_cycle.peers_cycle(smoke)
    assert [target.series.name for target in found.targets] == ["whole epoch, ours, fp32, 1 rank / port"]
    assert all(sample > 0 for series in found.series for sample in series.samples)
    whole = {series.name: series.samples for series in found.series}
    for name, epochs in found.details["epochs"].items():
        assert all(len(of) == peers_cycle.EPOCHS - 1 for of in epochs)
        parts = [sum(epoch["seconds"].values()) for of in epochs for epoch in of]
        for all_of_it, part in zip(whole[f"{name}: whole epoch"], parts, strict=True):
            assert all_of_it > 0.5 * part  # from outside, no less than from inside but for the watch's own delay


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
