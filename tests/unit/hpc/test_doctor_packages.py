"""Python, packages, extras and pinned sets: judged on given versions, and found in this interpreter."""

from importlib.metadata import version

import pytest
from support.processes import REPOSITORY

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.packages import (
    extra_of,
    installed,
    judge_doubles,
    judge_extra,
    judge_python,
    judge_requirements,
    judge_sets,
    own_requirements,
    package_lines,
    pinned_sets,
)

WANTED = [
    "torch>=2.10",
    "numpy>=2.0",
    'lungmask>=0.2.20; extra == "lungmask"',
    'torch<2.16,>=2.15; extra == "gpu-cu13"',
    'cuml-cu13<26.11,>=26.10; extra == "gpu-cu13"',
    'cupy-cuda13x>=14.0; extra == "gpu-cu13"',
    'torch<2.11,>=2.10; extra == "gpu-cu12"',
    'cuml-cu12<26.3,>=26.2; extra == "gpu-cu12"',
]
PLAIN = {"torch": "2.13.0+cpu", "numpy": "2.4.6"}
CUDA_13 = {"torch": "2.15.0", "numpy": "2.5.5", "cuml-cu13": "26.10.0", "cupy-cuda13x": "14.2.0"}


@pytest.mark.parametrize(
    ("python", "state"), [("3.11.0", "ok"), ("3.13.9", "ok"), ("3.14.0rc1", "warn"), ("3.10.4", "warn")]
)
def test_pythons_that_were_tried(python, state):
    assert judge_python(python).state == state


def test_a_package_that_is_missing_or_too_old_fails_by_name():
    assert judge_requirements(WANTED, PLAIN).state is State.OK
    line = judge_requirements(WANTED, {"torch": "2.4.1"})
    assert line.state is State.FAIL
    assert line.found == "torch 2.4.1 is not >=2.10, numpy is missing"
    assert "pip install" in line.remedy


def test_extras_are_known_by_cuml():
    assert extra_of(WANTED, PLAIN) == ("", [])
    assert extra_of(WANTED, CUDA_13) == ("gpu-cu13", [])
    line = judge_extra(WANTED, CUDA_13 | {"torch": "2.13.0"})
    assert (line.state, line.found) == (State.WARN, "gpu-cu13, but torch 2.13.0 is not <2.16,>=2.15")
    assert "-c constraints/cuda13.txt -e '.[gpu-cu13]'" in line.remedy


def test_libraries_of_two_cudas_that_overwrite_each_other_fail():
    assert judge_doubles(CUDA_13) == []
    (line,) = judge_doubles({"nvidia-nccl-cu12": "2.29.3", "nvidia-nccl-cu13": "2.29.7", "nvidia-cudnn-cu13": "9.2"})
    assert line.state is State.FAIL
    assert "nvidia-nccl-cu12 2.29.3 and nvidia-nccl-cu13 2.29.7" in line.found


def test_the_nearest_pinned_set_is_named_with_what_differs():
    sets = {"cpu": {"torch": "2.13.0", "numpy": "2.4.6", "monai": "1.6.1"}, "cuda13": {"torch": "2.15.0"}}
    assert judge_sets(sets, PLAIN).found.startswith("cpu: ")
    line = judge_sets(sets, PLAIN | {"numpy": "2.4.1"})
    assert (line.state, line.found) == (State.WARN, "none; 1 differ from cpu: numpy 2.4.1 (set: 2.4.6)")
    assert judge_sets({}, PLAIN).state is State.OK


def test_the_set_of_this_torch_is_nearer_than_one_with_fewer_differences():
    sets = {
        "cpu": {"torch": "2.13.0", "numpy": "2.4.6"},
        "cuda12": {"torch": "2.10.0", "numpy": "2.2.6", "dask": "2026.8"},
    }
    line = judge_sets(sets, {"torch": "2.10.0+cu128", "numpy": "2.4.6", "dask": "2026.1"})
    assert line.found.startswith("none; 2 differ from cuda12")
    assert line.remedy.endswith("-c constraints/cuda12.txt -e '.[gpu-cu12]'")


def test_the_sets_of_this_project_are_read():
    sets = pinned_sets(REPOSITORY / "constraints")
    assert set(sets) == {"cpu", "cuda12", "cuda13"}
    assert sets["cuda12"]["nvidia-nccl-cu12"].count(".") == 2
    assert all(len(pins) > 50 for pins in sets.values())


def test_this_interpreter_is_described():
    found, wanted = installed(), own_requirements()
    assert found["torch"] == version("torch")
    assert any(one.startswith("torch>=") for one in wanted)
    lines = {line.name: line for line in package_lines(Machine())}
    assert set(lines) >= {"python", "packages", "GPU extra", "pinned set"}
    assert lines["packages"].state is State.OK
