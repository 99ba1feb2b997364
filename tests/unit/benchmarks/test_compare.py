"""``compare`` finds what got worse, and only that."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.harness import Measured, Series
from benchmarks.report import write_result

ABOUT = {
    "profile": "cpu",
    "seed": 0,
    "repeats": 9,
    "duration_s": 1.0,
    "hardware": {"cpu": "a", "isa": [], "cores": 2, "cores_used": 2, "memory_gib": 8, "versions": {}}
    | {"system": "", "python": "", "load_before": 0, "load_after": 0},
}


def result(folder, *, seconds=1.0, mib=100.0, rate=50.0, config=None, cpu="a", seed=0):
    rng = np.random.default_rng(seed)
    spread = rng.normal(1, 0.03, 9)
    series = (
        Series("step", "s", tuple(seconds * spread)),
        Series("peak", "MiB", (mib,)),
        Series("rate", "volumes/s", tuple(rate * rng.normal(1, 0.03, 9))),
        Series("a / b", "×", (2.0,)),
    )
    about = {**ABOUT, "hardware": {**ABOUT["hardware"], "cpu": cpu}}
    write_result(folder / "thing", "thing", Measured("Thing", config or {"size": 1}, series), about)
    return str(folder)


@pytest.fixture
def before(tmp_path):
    return result(tmp_path / "a")


def test_the_same_again_is_no_regression(before, tmp_path, capsys):
    assert main(["compare", before, result(tmp_path / "b", seed=1)]) == 0
    assert "WORSE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("planted", "what"),
    [({"seconds": 1.5}, "thing: step"), ({"mib": 115.0}, "thing: peak"), ({"rate": 33.0}, "thing: rate")],
)
def test_a_planted_slowdown_leak_or_loss_of_rate_is_caught(before, tmp_path, capsys, planted, what):
    assert main(["compare", before, result(tmp_path / "b", seed=1, **planted)]) == 1
    told = capsys.readouterr()
    assert told.err.strip() == f"1 of 3 quantities got worse: {what}"
    assert main(["compare", result(tmp_path / "b", seed=1, **planted), before]) == 0
    assert "better" in capsys.readouterr().out


def test_a_wider_bound_lets_it_pass(before, tmp_path):
    assert main(["compare", before, result(tmp_path / "b", seconds=1.5), "--bound", "2"]) == 0


def test_other_work_is_not_compared(before, tmp_path, capsys):
    assert main(["compare", before, result(tmp_path / "b", seconds=9, config={"size": 2})]) == 2
    assert "other configurations" in capsys.readouterr().out


def test_another_machine_is_named(before, tmp_path, capsys):
    assert main(["compare", before, result(tmp_path / "b", cpu="b")]) == 0
    assert "other machines: a, b" in capsys.readouterr().out


def test_the_overview_names_every_bound(tmp_path):
    folder = tmp_path / "r"
    result(folder)
    tree = json.loads((folder / "thing" / "thing.json").read_text())
    tree["targets"] = [
        {"series": tree["series"][0], "bound": 2, "sense": "at_most", "median": 1.0, "met": True},
        {"series": tree["series"][3], "bound": 3, "sense": "at_least", "median": 2.0, "met": False},
    ]
    (folder / "thing" / "thing.json").write_text(json.dumps(tree))
    assert main(["report", str(folder)]) == 0
    page = (folder / "README.md").read_text()
    assert "| thing | step | ≤ 2 |" in page and "| thing | a / b | ≥ 3 | 2.00 |" in page and "**no**" in page
    assert "[thing](thing/thing.md)" in page and (folder / "targets.png").stat().st_size > 1000
