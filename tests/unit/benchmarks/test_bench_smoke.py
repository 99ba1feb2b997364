"""Each benchmark of the suite runs on tiny data, from the command line; its figures are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import codec, fast_path, ingest_throughput, peers, peers_cycle, peers_loading, peers_step, streaming
from benchmarks.__main__ import main
from benchmarks.clustering_cases import SMOKE
from benchmarks.compare import LARGER_IS_BETTER, SMALLER_IS_BETTER, TIMED
from benchmarks.harness import Options, Series
from benchmarks.suite import SUITE, load
from dcam_dist.models import convolution, passes

REPOSITORY = Path(__file__).parents[3]
USUAL = {name for name, entry in SUITE.items() if not entry.by_name}
whole_suite = [pytest.mark.slow, pytest.mark.distributed]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of the whole suite under ``cpu-smoke``."""
    out = tmp_path_factory.mktemp("suite")
    command = [sys.executable, "-m", "benchmarks", "run", "--profile", "cpu-smoke", "--out", str(out)]
    environment = {**os.environ, "DCAM_TRACE": str(out / "traces")}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return out


@pytest.fixture(scope="module")
def results(folder):
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*/*.json") if path.stem in SUITE}
    for tree in found.values():
        tree["samples"] = {series["name"]: series["samples"] for series in tree["series"]}
        tree["medians"] = {series["name"]: series["median"] for series in tree["series"]}
    return found


class TestWholeSuite:
    pytestmark = whole_suite

    def test_every_benchmark_leaves_figures_and_a_page(self, folder, results):
        assert set(results) == USUAL
        for name, tree in results.items():
            assert (folder / name / f"{name}.md").read_text().startswith(f"# {tree['title']}")
            assert tree["profile"] == "cpu-smoke" and tree["repeats"] == 1
            assert tree["series"] or tree["targets"]
            timed = [series for series in tree["series"] if series["unit"] in TIMED]
            assert all(sample > 0 for series in timed for sample in series["samples"]), name
        print(json.dumps({name: tree["duration_s"] for name, tree in results.items()}))

    def test_the_page_of_all_names_them(self, folder, results):
        assert main(["report", str(folder)]) == 0
        page = (folder / "README.md").read_text()
        assert all(f"[{name}]({name}/{name}.md)" in page for name in USUAL)

    def test_the_suite_is_compared_with_itself(self, folder, results, capsys):
        assert main(["compare", str(folder), str(folder)]) == 0
        assert "WORSE" not in capsys.readouterr().out

    def test_streaming_compares_with_every_peer_that_is_installed(self, results):
        pytest.importorskip("monai")
        pytest.importorskip("torchio")
        found = results["streaming"]
        assert [target["series"]["name"][0] for target in found["targets"]] == ["1", "1", "2", "3", "4", "2"]
        assert found["details"]["disk_bytes"]["persistent_dataset"] > found["details"]["disk_bytes"]["store"]

    def test_codecs_and_chunk_sizes_are_all_measured(self, folder, results):
        assert (folder / "codec" / "codec.md").read_text().count("\n## ") == 4
        measured = next(iter(results["codec"]["details"].values()))
        assert set(measured["bytes"]) == {codec.AS_STORED, *codec.CODECS}
        assert all(size > 0 for size in measured["bytes"].values())

    def test_ingest_is_timed_in_every_stage(self, results):
        found = results["ingest_throughput"]
        for name in (ingest_throughput.OURS_GIVEN, ingest_throughput.OURS_ALL):
            seconds = {key: value for key, value in found["medians"].items() if key.startswith(f"{name}: ")}
            assert {one.removeprefix(f"{name}: ") for one in seconds} >= set(ingest_throughput.STAGES.values())
            assert min(seconds.values()) > 0
        assert found["details"]["peak_rss_mb"][ingest_throughput.OURS_GIVEN] > 10

    def test_the_memory_of_a_long_scan_is_measured_plain_and_compressed(self, results):
        found = results["ingest_memory"]["targets"]
        assert [target["series"]["name"] for target in found] == ["worker, uncompressed", "worker, RLE"]
        assert all(target["median"] > 50 for target in found)

    def test_stall_is_read_from_a_training_of_two_ranks(self, results):
        assert results["stall"]["config"]["ranks"] == 2
        assert all(0 <= share < 1 for share in results["stall"]["targets"][0]["series"]["samples"])

    def test_the_engines_are_compared_on_two_ranks(self, results):
        pytest.importorskip("deepspeed")
        found = results["engines"]
        assert len(found["targets"]) == 6 and all(target["met"] for target in found["targets"])
        state, held = found["details"]["state_bytes"], found["details"]["held_bytes"]
        assert state["SGD, ZeRO 1"] < 0.6 * state["SGD, DDP"]
        assert held["Adam, DDP"] > state["Adam, DDP"] and held["Adam, DDP"] > held["SGD, DDP"]

    def test_memory_is_predicted_and_compared_with_real_steps(self, results):
        found = results["memory"]
        assert found["targets"][1]["met"], found["targets"][1]
        assert 0 < found["details"]["largest_cube"]["none"] < found["details"]["largest_cube"]["block"]

    def test_every_policy_is_measured_and_makes_the_same_weights(self, results):
        found = results["checkpoint_policies"]
        assert all(target["met"] for target in found["targets"])
        weights = found["details"]["sha256"]
        assert len(weights) == 8
        assert len(set(weights.values())) == 2  # one a precision

    def test_both_memory_formats_are_measured_for_both_normalizations(self, results):
        found = results["memory_formats"]
        assert len(found["series"]) == 8
        norms = [target["series"]["name"].split(",")[0] for target in found["targets"]]
        assert norms == ["batch", "batch", "instance", "instance"]

    def test_the_bound_is_of_ours_against_both_ways_of_scikit_learn(self, results):
        found = results["clustering_bound"]["targets"]
        assert len(found) == 2 * len(SMOKE.clusters)
        assert all(sample > 0 for target in found for sample in target["series"]["samples"])

    def test_parts_of_a_step_are_timed_and_traced(self, folder, results):
        assert all(sample > 0 for series in results["throughput"]["series"] for sample in series["samples"])
        assert len(list((folder / "traces").iterdir())) == 4
        assert (folder / "throughput" / "roofline.png").read_bytes().startswith(b"\x89PNG")

    def test_a_step_is_compared_with_peers_of_its_size(self, results):
        sizes = results["peers_step"]["details"]["parameters"]
        assert abs(sizes[peers_step.EAGER] / sizes[peers_step.FP32] - 1) < 0.01
        work = results["peers_step"]["details"]["operations"]
        assert all(
            abs(size / sizes[peers_step.FP32] - 1) < 0.4 for name, size in sizes.items() if name != peers_step.WIDE
        )
        assert work[peers_step.EAGER] == work[peers_step.FP32] > 0

    def test_scaling_is_measured_and_drawn(self, folder, results):
        found = results["scaling"]
        (alone,), (two,) = (found["samples"][f"strong, {ranks}: a step"] for ranks in ("1 rank", "2 ranks"))
        assert found["samples"]["strong efficiency, 2 ranks"] == [alone / two / 2]
        handed, sent = found["targets"]
        assert handed["series"]["samples"] == [0, 0], "not what the theory says"
        assert max(sent["series"]["samples"]) < 0.15
        assert (folder / "scaling" / "scaling.png").stat().st_size > 10_000

    def test_an_epoch_is_compared_with_the_ports(self, results):
        found = results["peers_cycle"]
        assert [target["series"]["name"] for target in found["targets"]] == ["whole epoch, ours, fp32, 1 rank / port"]
        for name, epochs in found["details"]["epochs"].items():
            assert all(len(of) == peers_cycle.EPOCHS - 1 for of in epochs)
            parts = [sum(epoch["seconds"].values()) for of in epochs for epoch in of]
            for whole, part in zip(found["samples"][f"{name}: whole epoch"], parts, strict=True):
                assert whole > 0.5 * part  # from outside, no less than from inside but for the watch's own delay

    def test_every_way_of_loading_gives_patches(self, results):
        pytest.importorskip("monai")
        pytest.importorskip("torchio")
        found = results["peers_loading"]
        ways = [peers_loading.OURS, peers_loading.NNUNET, peers_loading.TORCHIO]
        ways += [peers_loading.CACHED, peers_loading.PERSISTENT]
        assert [series["name"] for series in found["series"] if series["unit"] == "patches/s"] == ways
        assert {series["unit"] for series in found["series"]} <= SMALLER_IS_BETTER | LARGER_IS_BETTER
        disk = found["details"]["disk_bytes"]
        assert disk[peers_loading.PERSISTENT] > disk[peers_loading.CACHED]
        assert disk[peers_loading.NNUNET] > disk[peers_loading.OURS] > 0

    def test_the_phases_of_an_epoch_are_read_from_trainings(self, results):
        shares, plans = results["epoch"]["targets"][:2], results["epoch"]["targets"][2:]
        assert all(sample > 1 for target in shares for sample in target["series"]["samples"])
        assert len(plans) == 2


def test_streaming_says_which_peers_are_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "find", lambda *_: None)
    found = streaming.streaming(Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path))
    assert [target.series.name for target in found.targets] == [
        "1: SimpleITK raw read / ours",
        "3: direct zarr / Dask path",
    ]
    assert {peers.absent("MONAI"), peers.absent("TorchIO")} <= set(found.notes)


def candidate(name, size, whole=1.0, patch=1.0, write=1.0):
    samples = {"write": write, "whole": whole, "patch": patch}
    return codec.Candidate(name, size, **{what: Series(what, "s", (value,)) for what, value in samples.items()})


def test_the_smallest_codec_that_reads_and_writes_fast_enough_is_chosen():
    stored = candidate(codec.AS_STORED, 100)
    small = candidate("small", 80, whole=1.2, patch=1.2, write=1.9)
    slow = [candidate("slow patches", 60, patch=1.3), candidate("slow to write", 50, write=2.1)]
    assert codec.best_codec([stored, small, *slow]) == "small"
    assert codec.best_codec([stored, *slow]) == codec.AS_STORED


def test_everything_that_is_listed_can_be_run(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SUITE)
    for name, line in zip(SUITE, lines, strict=True):
        benchmark, about = load(name)
        assert callable(benchmark) and about.splitlines()[0] in line


def test_an_unknown_name_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "nothing", "--out", str(tmp_path)])
    assert stop.value.code == 2 and "there is no benchmark nothing" in capsys.readouterr().err


def test_a_profile_of_a_card_that_is_not_here_is_refused(tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a card here")
    assert main(["run", "memory", "--profile", "a100", "--out", str(tmp_path)]) == 4
    assert "no NVIDIA A100 here" in capsys.readouterr().err


@pytest.mark.slow
def test_the_fast_paths_choices_are_compared_and_put_back(tmp_path):
    before = passes._CPU_SLAB, convolution._is_unfolded
    found = fast_path.fast_path(Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path))
    assert (passes._CPU_SLAB, convolution._is_unfolded) == before
    assert passes._CPU_SLAB == 2**fast_path.CHOSEN
    assert len(found.targets) == 2 and len(found.tables) == 4
    assert all(sample > 0 for series in found.series for sample in series.samples)
