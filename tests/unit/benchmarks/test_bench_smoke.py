"""Each benchmark runs, on tiny data; its figures are not looked at."""

import pytest
import torch

from benchmarks import (
    codec,
    engines,
    epoch,
    ingest_memory,
    ingest_throughput,
    memory,
    peers,
    peers_step,
    stall,
    streaming,
    throughput,
)
from benchmarks.__main__ import main
from benchmarks.harness import Options, Series
from benchmarks.suite import SUITE, load


@pytest.fixture
def smoke(tmp_path):
    return Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path)


def test_streaming_compares_with_every_peer_that_is_installed(smoke):
    pytest.importorskip("monai")
    pytest.importorskip("torchio")
    found = streaming.streaming(smoke)
    assert [target.series.name[0] for target in found.targets] == ["1", "1", "2", "3", "4", "2"]
    assert found.details["disk_bytes"]["persistent_dataset"] > found.details["disk_bytes"]["store"]
    assert all(sample > 0 for series in found.series for sample in series.samples)


def test_streaming_says_which_peers_are_not_installed(smoke, monkeypatch):
    monkeypatch.setattr(peers, "find", lambda *_: None)
    found = streaming.streaming(smoke)
    assert [target.series.name for target in found.targets] == [
        "1: SimpleITK raw read / ours",
        "3: direct zarr / Dask path",
    ]
    assert {peers.absent("MONAI"), peers.absent("TorchIO")} <= set(found.notes)


def test_codecs_and_chunk_sizes_are_all_measured(smoke):
    found = codec.codec(smoke)
    assert len(found.tables) == 4
    measured = next(iter(found.details.values()))
    assert set(measured["bytes"]) == {codec.AS_STORED, *codec.CODECS}
    assert all(size > 0 for size in measured["bytes"].values())


def candidate(name, size, whole=1.0, patch=1.0, write=1.0):
    samples = {"write": write, "whole": whole, "patch": patch}
    return codec.Candidate(name, size, **{what: Series(what, "s", (value,)) for what, value in samples.items()})


def test_the_smallest_codec_that_reads_and_writes_fast_enough_is_chosen():
    stored = candidate(codec.AS_STORED, 100)
    small = candidate("small", 80, whole=1.2, patch=1.2, write=1.9)
    slow = [candidate("slow patches", 60, patch=1.3), candidate("slow to write", 50, write=2.1)]
    assert codec.best_codec([stored, small, *slow]) == "small"
    assert codec.best_codec([stored, *slow]) == codec.AS_STORED


def test_ingest_is_timed_in_every_stage(smoke):
    found = ingest_throughput.ingest_throughput(smoke)
    for name in (ingest_throughput.OURS_GIVEN, ingest_throughput.OURS_ALL):
        seconds = {one.name: one.samples[0] for one in found.series if one.name.startswith(f"{name}: ")}
        assert {one.removeprefix(f"{name}: ") for one in seconds} >= set(ingest_throughput.STAGES.values())
        assert min(seconds.values()) > 0
    assert found.details["peak_rss_mb"][ingest_throughput.OURS_GIVEN] > 10
    if peers.find("monai.transforms", "nibabel") is not None:
        assert len(found.targets) == 2


@pytest.mark.distributed
def test_stall_is_read_from_a_training_of_two_ranks(smoke):
    found = stall.stall(smoke)
    assert found.config["ranks"] == 2
    assert all(0 <= share < 1 for share in found.targets[0].series.samples)


def test_the_memory_of_a_long_scan_is_measured_plain_and_compressed(smoke):
    found = ingest_memory.ingest_memory(smoke)
    assert found.config["shape"][0] == ingest_memory.SMOKE_SLICES
    assert [target.series.name for target in found.targets] == ["worker, uncompressed", "worker, RLE"]
    assert all(target.series.median > 50 for target in found.targets)


@pytest.mark.distributed
@pytest.mark.slow
def test_the_engines_are_compared_on_two_ranks(smoke):
    pytest.importorskip("deepspeed")
    found = engines.engines(smoke)
    assert len(found.targets) == 6
    assert all(target.met for target in found.targets)
    state = found.details["state_bytes"]
    assert state["SGD, ZeRO 1"] < 0.6 * state["SGD, DDP"]


def test_everything_that_is_listed_can_be_run(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SUITE)
    for name, line in zip(SUITE, lines, strict=True):
        benchmark, about = load(name)
        assert callable(benchmark) and about.splitlines()[0] in line


def test_memory_is_predicted_and_compared_with_real_steps(smoke):
    found = memory.memory(smoke)
    worst = found.targets[1]
    assert worst.met, worst
    cubes = found.details["largest_cube"]
    assert 0 < cubes["none"] < cubes["block"]


@pytest.mark.slow
def test_parts_of_a_step_are_timed(smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("DCAM_TRACE", str(tmp_path / "trace"))
    found = throughput.throughput(smoke)
    assert all(sample > 0 for series in found.series for sample in series.samples)
    assert len(list((tmp_path / "trace").iterdir())) == 4
    found.figures["roofline.png"](tmp_path / "roofline.png")


def test_a_step_is_compared_with_peers_of_its_size(smoke):
    found = peers_step.peers_step(smoke)
    sizes = found.details["parameters"]
    assert abs(sizes[peers_step.EAGER] / sizes[peers_step.FP32] - 1) < 0.01
    assert all(abs(size / sizes[peers_step.FP32] - 1) < 0.4 for size in sizes.values())


@pytest.mark.slow
def test_the_phases_of_an_epoch_are_read_from_trainings(smoke):
    found = epoch.epoch(smoke)
    assert len(found.targets) == 2
    assert all(1 < sample < 3 for target in found.targets for sample in target.series.samples)


def test_a_profile_of_a_card_that_is_not_here_is_refused(tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a card here")
    assert main(["run", "memory", "--profile", "a100", "--out", str(tmp_path)]) == 4
    assert "no NVIDIA A100 here" in capsys.readouterr().err
