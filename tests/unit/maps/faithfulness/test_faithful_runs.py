"""Whole runs measured: the files, the report, and cohorts of every kind."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from support.cohorts import make_cohort, settings
from support.processes import REPOSITORY
from support.verbs import call_verb

from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.image_file import write_nifti
from dcam_dist.config import load_config
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.maps.faithfulness import faithfulness, read_run
from dcam_dist.maps.faithfulness.journal import open_journal
from dcam_dist.maps.faithfulness.summary import by_case, difference, estimate
from dcam_dist.maps.faithfulness.verdicts import invariant_line
from dcam_dist.training import train

GRID = (16, 16, 16)
"""The least that the networks take: a case here is some two hundred passes."""


def tiny(cohort, **more):
    return load_config(None, settings(cohort, **{"grid__shape": list(GRID), "training__epochs": 1, **more}))


@pytest.fixture(scope="module")
def tiny_cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("tiny") / "cohort.zarr", 9, shape=GRID)


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory, tiny_cohort):
    return train(tiny(tiny_cohort, output=tmp_path_factory.mktemp("tiny-run") / "dcam")).run


@pytest.fixture(scope="module")
def lesions(tmp_path_factory, tiny_cohort):
    """Lesions in the upper half of the lungs of all cases but those that are absent of emphysema."""
    folder = tmp_path_factory.mktemp("lesions")
    for record in open_cohort(tiny_cohort).cases:
        (folder / record.case_id).mkdir()
        mask = np.zeros(record.scan.shape, np.uint8)
        mask[8:, ::2] = record.label > 0
        write_nifti(mask, record.scan, folder / record.case_id / "lesion_mask.nii.gz")
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tiny_run, lesions):
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("measured") / "dcam")
    return run, faithfulness([run], lesions=lesions, cases=2)


def test_the_three_files_are_in_the_run(measured):
    run, result = measured
    assert [file.name for file in result.files] == ["faithfulness.json", "faithfulness.md", "faithfulness.png"]
    assert all(file.parent == run for file in result.files)
    assert result.files[2].stat().st_size > 100_000
    text = result.files[1].read_text(encoding="utf-8")
    assert "2 test cases are reported, 2 training cases decided" in text and "part is left out" not in text
    assert all(line in text for line in result.verdicts)
    assert "they do not contain what another training would change" in text
    assert "**Dice by the rule, lesions**" in text and "**AUPRC, below −950 HU**" in text
    assert "- dcam: training cases with lesions, cluster by cluster: " in text and "take the rule of all" in text
    assert "| two random networks |" in text and "| dcam: shuffled head | 2 |" in text
    assert not (run / "faithfulness.partial.jsonl").exists()


def test_what_is_read_back_is_what_was_measured(measured):
    run, result = measured
    (found,), again = result.runs.values(), read_run(run / "faithfulness.json")
    for name in ("method", "own", "names", "label_names", "split", "normal_hu", "bootstrap", "seed"):
        assert getattr(again, name) == getattr(found, name)
    assert again.rules.keys() == found.rules.keys()
    for one, other in zip(found.cases, again.cases, strict=True):
        assert (one.case_id, one.class_id, one.head_agrees) == (other.case_id, other.class_id, other.head_agrees)
        assert one.chance_similarity == pytest.approx(other.chance_similarity, nan_ok=True)
        for method, values in one.values.items():
            assert other.values[method] == pytest.approx(values, rel=1e-4, nan_ok=True)
        for method, curves in one.curves.items():
            stored = other.curves[method]["blurred"].deletion_SM
            np.testing.assert_allclose(stored, curves["blurred"].deletion_SM, rtol=1e-4)


def test_the_measures_say_what_they_must(measured):
    (found,) = measured[1].runs.values()
    assert [case.split for case in found.cases] == ["train"] * 2 + ["test"] * 2
    assert all(case.invariant < 1e-4 for case in found.cases)
    for case in found.reported:
        density = case.values["low_attenuation"]
        assert density["auprc/laa910/forward"] == pytest.approx(1)  # the grid is the scan's own
        assert case.ceiling["laa910"] == pytest.approx(1)
        normal = [curves["normal"] for curves in case.curves.values()]
        ends = {(both.deletion_SM[0, 1], both.insertion_SM[-1, 1]) for both in normal}
        assert len(ends) == 1  # the whole scan, whatever the map
        (whole,) = ends
        assert whole[0] == whole[1] > 0  # it belongs to the class that is explained
    assert "holds" in invariant_line("run", found)


def test_directions_are_those_of_the_training_cases_alone(measured):
    (found,) = measured[1].runs.values()
    for (method, target), rules in found.rules.items():
        train = [case for case in found.cases if case.split == "train"]
        for class_id in {case.class_id for case in train}:
            both = [
                [case.values[method][f"auprc/{target}/{way}"] for case in train if case.class_id == class_id]
                for way in ("forward", "inverted")
            ]
            counted = int((~np.isnan(both[0])).sum())
            assert rules[class_id].cases == counted
            if counted < 5:
                both = [
                    [case.values[method][f"auprc/{target}/{way}"] for case in train] for way in ("forward", "inverted")
                ]
            if np.isnan(both).all():
                continue
            assert rules[class_id].sign == (1 if np.nanmean(both[0]) >= np.nanmean(both[1]) else -1)
        for case in found.reported:
            way = "forward" if rules[case.class_id].sign > 0 else "inverted"
            values = case.values[method]
            assert values[f"auprc/{target}"] == pytest.approx(values[f"auprc/{target}/{way}"], nan_ok=True)


def test_an_interrupted_measuring_goes_on_with_what_it_has(measured, tiny_run, lesions, tmp_path):
    whole, run = measured[0], shutil.copytree(tiny_run, tmp_path / "dcam")
    journal = run / "faithfulness.partial.jsonl"
    command = [sys.executable, "-m", "dcam_dist", "faithfulness", run, "--lesions", lesions, "--cases", "2"]
    with subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, cwd=REPOSITORY) as started:
        until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 3, started)
        started.send_signal(signal.SIGTERM)
        said = started.communicate(timeout=60)[1].decode()
    assert started.returncode == 75 and "run the same command again to go on" in said
    about, decided, first, *others = journal.read_text(encoding="utf-8").splitlines()
    assert not others and not (run / "faithfulness.json").exists()
    marked = json.dumps({**json.loads(first), "invariant": 0.125})  # tells whether it is measured again
    journal.write_text("\n".join([about, decided, marked, '{"case_id": "torn']), encoding="utf-8")
    faithfulness([run], lesions=lesions, cases=2)
    found, expected = (json.loads((one / "faithfulness.json").read_text(encoding="utf-8")) for one in (run, whole))
    places = [place for place, case in enumerate(found["cases"]) if case["invariant"] == 0.125]
    assert places == [2] and not journal.exists()
    found["cases"][2]["invariant"] = expected["cases"][2]["invariant"]
    assert found == expected


def test_what_was_kept_of_something_else_is_not_gone_on_with(tmp_path):
    open_journal(tmp_path, "one").add({"case_id": "a"})
    assert open_journal(tmp_path, "one").left == ({"case_id": "a"},)
    assert open_journal(tmp_path, "another").left == ()
    assert open_journal(tmp_path, "one").left == ()
    with pytest.raises(EnvironmentFault, match=r"partial\.jsonl: cannot be written"):
        open_journal(tmp_path / "nowhere", "one")


def until(true, process, longest_s=60):
    """Wait for what a process does."""
    end = time.monotonic() + longest_s
    while not true():
        assert process.poll() is None and time.monotonic() < end, process.stderr.read().decode()
        time.sleep(0.02)


def test_without_grades_and_lesion_masks_their_parts_are_left_out(tmp_path):
    unlabelled = make_cohort(tmp_path / "cohort.zarr", 6, labelled=False, shape=GRID)
    run = train(tiny(unlabelled, output=tmp_path / "dcam")).run
    faithfulness([run], cases=1)
    text = (run / "faithfulness.md").read_text(encoding="utf-8")
    assert "Lesions: no masks were given (`--lesions`), so this part is left out." in text
    assert "## AUPRC and Dice by grade" in text and "Target: lesions" not in text
    assert "The cohort has no grades, so this part is left out." in text


def test_supervised_runs_are_followed_by_grade_and_probability_alone(tiny_cohort, lesions, tmp_path):
    run = train(tiny(tiny_cohort, output=tmp_path / "run", method="supervised")).run
    result = faithfulness([run], lesions=lesions, cases=1)
    (found,) = result.runs.values()
    assert all(case.head_agrees for case in found.cases)
    assert "gap/normal/probability" in found.reported[0].values["dcam"]
    assert not any("margin" in name for name in found.reported[0].values["dcam"])
    tree = json.loads((run / "faithfulness.json").read_text(encoding="utf-8"))
    assert all(0 <= case["grade"] < 6 for case in tree["cases"])
    said = " ".join(result.verdicts)
    assert "probability, normal lung put in" in said and "the head prefers" not in said
    assert "scan's grade" in result.files[1].read_text("utf-8")


def test_runs_are_compared_case_by_case(measured, lesions, tmp_path):
    run, _ = measured
    second = shutil.copytree(run, tmp_path / "second")
    result = faithfulness([run, second], lesions=lesions, cases=1, out=tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] and len(result.files) == 9
    tree = json.loads((tmp_path / "out" / "faithfulness.json").read_text(encoding="utf-8"))
    assert list(tree["runs"]) == ["dcam", "second"]
    first, other = result.runs.values()
    assert by_case(first, "dcam", "gap/normal/margin") == by_case(other, "dcam", "gap/normal/margin")
    text = (tmp_path / "out" / "faithfulness.md").read_text(encoding="utf-8")
    assert "| second: dCAM | 0 |" in text  # the same run twice


def test_wrong_requests_are_told_before_anything_is_measured(measured, tmp_path):
    run, _ = measured
    with pytest.raises(UsageError, match="at least one of each split"):
        faithfulness([run], cases=0)
    with pytest.raises(UsageError, match="two runs are called"):
        faithfulness([run, run])
    with pytest.raises(UsageError, match="no lesion mask of a case"):
        faithfulness([run], lesions=tmp_path)


def test_estimates_leave_out_what_is_not_defined_and_differences_go_by_case():
    found = estimate([1.0, float("nan"), 3.0, 2.0, 1.5, 2.5, 2.0], 100, 0)
    assert (found.n, found.median) == (6, 2.0) and 1 <= found.low <= found.high <= 3
    first = {str(i): float(i + 1 + i / 100) for i in range(12)}
    apart = difference(first, {str(i): float(i) for i in range(20)}, 200, 0)
    assert apart.n == 12 and apart.low >= 1 and apart.p_value < 0.001
    assert np.isnan(difference(first, first, 20, 0).p_value)
    assert difference(first, {}, 20, 0).n == 0


def test_below_six_cases_there_is_no_interval_and_no_test():
    few = estimate([1.0, 2.0, 3.0, 4.0, 5.0], 100, 0)
    assert (few.n, few.median) == (5, 3.0) and np.isnan([few.low, few.high]).all()
    assert estimate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 100, 0).low >= 1
    apart = difference({str(i): i + 1.0 for i in range(5)}, {str(i): 0.0 for i in range(5)}, 100, 0)
    assert apart.median == 3 and np.isnan([apart.low, apart.p_value]).all()


def test_the_verb_tells_what_may_be_concluded(measured, lesions, monkeypatch, capsys):
    run, _ = measured

    call = partial(call_verb, monkeypatch, capsys, "faithfulness")
    code, out, _ = call(run, "--lesions", lesions, "--cases", 1)
    assert (
        code == 0
        and "points at lesions" in out
        and "- dcam, dCAM: the head prefers" in out
        and "faithfulness.png" in out
    )
    code, _, err = call(run, "--cases", 0)
    assert code == 2 and len(err.splitlines()) == 1
