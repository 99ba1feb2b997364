"""Scaling over ranks: what a step exchanges, in theory, handed over and sent."""

import json
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from benchmarks.launched import run_ranks
from benchmarks.scaling import Found
from benchmarks.scaling_theory import Payload, payload, payload_of
from benchmarks.sent_bytes import Handed, sent_bytes
from dcam_dist.config import load_config
from dcam_dist.models import build_network, count_parameters

OPEN_FILES = Path("/proc/self/fd")
SMALL = ["grid.shape=[16,16,16]", "network.filters=2"]


@pytest.fixture
def lone_group():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def connected():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
        server.accept()[0],
    ):
        yield one


def test_a_step_exchanges_gradients_statistics_and_two_meetings():
    # 4·100 for the gradients; 8·(7 + 6) and 8·(11 + 10) for normalizations of 3 and 5 channels; 2 meetings of 16
    assert payload(100, [3, 5]) == Payload(reduced=400 + 104 + 168, gathered=32)
    assert payload(100, [3, 5], forwards=2) == Payload(reduced=672 + 8 * 7 + 8 * 11, gathered=32)
    assert payload(100, []).total == 432


def test_a_ring_sends_nearly_twice_the_sum_and_everyones_part_to_everyone():
    assert Payload(reduced=1000, gathered=0).ring(1) == 0
    assert Payload(reduced=1000, gathered=0).ring(2) == 1000
    assert Payload(reduced=1000, gathered=0).ring(4) == 1500
    assert Payload(reduced=0, gathered=32).ring(4) == 96


def test_the_theory_of_a_network_is_of_its_parameters_and_normalizations():
    settings = ("network.checkpointing=none", "network.checkpointing=block", "network.norm=instance")
    batch, block, instance = (payload_of(load_config(None, [*SMALL, setting])) for setting in settings)
    parameters = count_parameters(build_network(load_config(None, [*SMALL, settings[-1]])))
    assert instance == Payload(4 * parameters, 32)
    assert 0 < block.reduced - batch.reduced < batch.reduced - instance.reduced


def test_collectives_are_counted_by_the_bytes_that_they_are_given(lone_group):
    with Handed() as handed:
        dist.all_reduce(torch.ones(10))
        dist.all_gather([torch.empty(2, dtype=torch.int64)], torch.ones(2, dtype=torch.int64))
    assert (handed.reduced, handed.gathered, handed.calls) == (40, 16, 2)
    dist.all_reduce(torch.ones(10))
    assert handed.calls == 2


def test_a_collective_of_a_kind_that_is_not_counted_is_an_error(lone_group):
    with pytest.raises(AssertionError, match="broadcast_"), Handed():
        dist.broadcast(torch.ones(1), src=0)


def test_what_is_sent_is_read_from_the_kernel(connected):
    before, files = sent_bytes(), len(list(OPEN_FILES.iterdir()))
    connected.sendall(b"x" * 5000)
    assert sent_bytes() - before == 5000
    assert len(list(OPEN_FILES.iterdir())) == files


@pytest.mark.distributed
def test_two_ranks_hand_over_and_send_what_the_theory_says_when_they_recompute(tmp_path, no_gpu):
    settings, out = [*SMALL, "network.checkpointing=block"], tmp_path / "told.json"
    sizes = ["--cases=1", "--batch=2", "--steps=1", "--cores=2"]
    run_ranks(["benchmarks.scaling_rank", str(out), *settings, *sizes], 2)
    told, theory = json.loads(out.read_text()), payload_of(load_config(None, settings))
    assert told["reduced"] == [theory.reduced] * 2
    assert told["gathered"] == [theory.gathered] * 2
    # each of some 40 small messages has a frame, which counts beside so small a network
    assert all(theory.ring(2) < sent < 1.15 * theory.ring(2) for sent in told["sent"])


def test_ranks_beyond_the_cores_have_bytes_and_no_efficiency():
    times = {mode: {"samples": [1.0], "cpu_s": [1.0]} for mode in ("weak", "strong", "apart")}
    counts = {"reduced": [400], "gathered": [32]}
    rounds = {1: [{"seconds": times}], 2: [{"seconds": times, **counts}], 4: [{"seconds": times, **counts}]}
    found = Found((1, 2, 4), 2, payload(100, []), rounds)
    efficiencies = found.efficiencies()
    assert {mode: list(of) for mode, of in efficiencies.items()} == {mode: [1, 2] for mode in times}
    assert efficiencies["weak"][2].samples == (1.0,)
    assert efficiencies["strong"][2].samples == (0.5,)
    assert found.handed(4) == [432.0]
