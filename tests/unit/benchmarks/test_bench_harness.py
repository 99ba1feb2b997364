import argparse
import json
import os
import sys
import types

import pytest

from benchmarks.harness import Measured, Series, Target, interleave, ratio, run, timed_series
from benchmarks.machine import pinned
from benchmarks.stages import REST, timed_stages


def test_every_round_runs_every_contender_once_after_one_to_warm_up():
    calls = []
    found = interleave({name: lambda name=name: calls.append(name) for name in "abc"}, 20, seed=3)
    rounds = [calls[start : start + 3] for start in range(0, len(calls), 3)]
    assert len(rounds) == 21
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1, "always in one order"
    assert all(len(found[name].samples) == len(found[name].cpu_s) == 20 for name in "abc")


def test_a_ratio_is_of_samples_of_one_round():
    fast, slow = (Series(name, "s", samples) for name, samples in (("fast", (1.0, 2.0)), ("slow", (3.0, 8.0))))
    assert ratio("slow / fast", slow, fast).samples == (3.0, 4.0)


@pytest.mark.parametrize(("sense", "median", "met"), [("at_least", 2.0, True), ("at_least", 1.9, False)])
def test_a_bound_is_kept_by_the_median(sense, median, met):
    assert Target(Series("", "×", (0.0, median, 9.0)), 2.0, sense).met is met


def test_an_upper_bound_is_kept_by_the_median():
    series = Series("", "×", (0.0, 0.02, 9.0))
    assert Target(series, 0.02, "at_most").met
    assert not Target(series, 0.01, "at_most").met


def test_a_result_holds_every_sample_and_what_it_was_made_on(tmp_path, capsys):
    def benchmark(options):
        (options.scratch / "used").touch()
        series = timed_series("something", [(2.0, 1.0), (3.0, 1.5), (9.0, 1.0)])
        return Measured("A title", {"shape": (1, 2)}, (series,), (Target(ratio("r", series, series), 1.0, "at_least"),))

    asked = {"out": tmp_path, "profile": "cpu-smoke", "repeats": None, "cores": None, "seed": 7, "dicom": None}
    run(benchmark, "thing", argparse.Namespace(**asked), repeats=9, cores=None)
    tree = json.loads((tmp_path / "thing" / "thing.json").read_text())
    assert tree["series"][0]["samples"] == [2.0, 3.0, 9.0]
    assert (tree["series"][0]["n"], tree["series"][0]["median"], tree["seed"]) == (3, 3.0, 7)
    assert tree["targets"][0]["met"] is True
    assert tree["config"] == {"shape": [1, 2]}
    assert {"cpu", "cores", "cores_used", "versions", "load_before"} <= set(tree["hardware"])
    printed = capsys.readouterr().out
    assert (tmp_path / "thing" / "thing.md").read_text() in printed
    assert "| something | 3.00 s | 2.00 … 9.00 | 3 | 1.00 s |" in printed
    assert "the figures mean nothing" in printed


def test_cores_and_threads_are_as_before_once_it_is_over():
    before, variable = os.sched_getaffinity(0), os.environ.get("OMP_NUM_THREADS")
    with pinned(1) as used:
        assert used == len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    assert os.environ.get("OMP_NUM_THREADS") == variable


@pytest.fixture
def package(monkeypatch):
    """A package of two modules, one of which has imported the other's functions."""
    inner, outer = types.ModuleType("timed_package.inner"), types.ModuleType("timed_package.outer")
    for module in (types.ModuleType("timed_package"), inner, outer):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    inner.work = outer.work = lambda value: value + 1
    inner.both = lambda value: outer.work(value) * 2
    return inner, outer


def test_stages_are_timed_where_they_were_imported_and_left_as_they_were(package):
    inner, outer = package
    work = inner.work
    with timed_stages(
        {"timed_package.inner:work": "work", "timed_package.inner:both": "both"}, "timed_package"
    ) as clock:
        assert outer.work is not work
        assert inner.both(3) == 8
    assert inner.work is outer.work is work
    assert set(clock.seconds) == {"work", "both", REST}
    assert min(clock.seconds.values()) >= 0


def test_stages_are_left_as_they_were_when_one_fails(package):
    inner, outer = package
    inner.work = outer.work = fails = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError), timed_stages({"timed_package.inner:work": "work"}, "timed_package"):
        outer.work()
    assert inner.work is outer.work is fails
