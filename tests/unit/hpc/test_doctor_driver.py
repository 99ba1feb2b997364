"""Driver, torch and GPUs: every way in which they do not go together."""

import json

import pytest
from support.processes import REPOSITORY

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.driver import Driver, count_devices, is_hidden, judge_driver, kernel_driver
from dcam_dist.hpc.doctor.known_bad import KNOWN_BAD, judge_known_bad
from dcam_dist.hpc.doctor.libraries import Library
from dcam_dist.hpc.doctor.packages import pinned_sets
from dcam_dist.hpc.doctor.probe import MARK
from dcam_dist.hpc.doctor.stack import judge_stack, read_facts

CU12, CU13 = {"torch": "2.10.0+cu128", "cuda": "12.8"}, {"torch": "2.15.0+cu132", "cuda": "13.2"}
CPU = {"torch": "2.13.0+cpu", "cuda": ""}


@pytest.mark.parametrize(
    ("devices", "version", "torch", "usable", "state", "said"),
    [
        (0, None, CPU, False, "ok", "no NVIDIA GPU"),
        (0, None, CU12, False, "warn", "no NVIDIA GPU or driver"),
        (4, "580.65.06", CPU, False, "warn", "constraints/cuda13.txt"),
        (4, "575.57.08", CPU, False, "warn", "constraints/cuda12.txt"),
        (4, "470.57.02", CPU, False, "warn", "ask for NVIDIA driver 525.60.13"),
        (4, None, CU12, False, "fail", "no driver"),
        (4, "525.60.13", CU12, True, "ok", "525.60.13"),
        (4, "525.60.11", CU12, False, "fail", "needs 525.60.13"),
        (4, "580.65.06", CU13, True, "ok", "580.65.06"),
        (4, "580.65.05", CU13, False, "fail", "constraints/cuda12.txt"),
        (4, "575.57.08", CU13, True, "warn", "forward compatibility"),
        (4, "580.82.07", CU13, False, "fail", "no CUDA device can be used"),
        (4, "", CU13, True, "ok", "of unknown version"),
    ],
)
def test_driver_and_torch(devices, version, torch, usable, state, said):
    line = judge_driver(Driver(devices=devices, version=version, usable=usable, **torch))
    assert line.state == state
    assert said in f"{line.found} {line.remedy}"
    assert bool(line.remedy) == (state != "ok")


def test_hidden_gpus_are_no_failure_of_the_driver():
    line = judge_driver(Driver(devices=1, version="580.82.07", hidden=True, **CU13))
    assert (line.state, "CUDA_VISIBLE_DEVICES" in line.remedy) == (State.WARN, True)
    assert [is_hidden({"CUDA_VISIBLE_DEVICES": value}) for value in ("", "-1", "0", "0,1")] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_hidden({})


def test_devices_and_driver_are_found_by_their_files(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia12", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    (tmp_path / "driver/nvidia").mkdir(parents=True)
    (tmp_path / "driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed\n")
    machine = Machine(dev=tmp_path, proc=tmp_path)
    assert (count_devices(machine), kernel_driver(machine)) == (3, "580.82.07")
    assert kernel_driver(Machine(proc=tmp_path / "nothing")) is None


def said(*parts):
    return "noise\n" + "".join(f"\n{MARK}{json.dumps(part)}\n" for part in parts)


TORCH = {"torch": "2.15.0", "cuda": "13.2", "hip": "", "usable": True, "trouble": ""}
NCCL = {"family": "NCCL", "folder": "/site/nvidia/nccl/lib", "version": "2.30.7"}


def gpu_machine(tmp_path):
    (tmp_path / "nvidia0").touch()
    (tmp_path / "driver/nvidia").mkdir(parents=True)
    (tmp_path / "driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed\n")
    return Machine(dev=tmp_path, proc=tmp_path, variables={})


def test_the_last_word_on_each_fact_counts(tmp_path):
    facts = read_facts(said(TORCH, {"libraries": [NCCL]}, {"cuml": "ended"}, {"cuml": ""}))
    lines = judge_stack(facts, "", gpu_machine(tmp_path))
    assert [(line.name, line.state) for line in lines] == [
        ("GPU driver", "ok"),
        ("CUDA libraries", "ok"),
        ("cuML", "ok"),
    ]
    assert lines[1].found == "NCCL 2.30.7"


def test_a_torch_that_cannot_be_imported_fails_with_its_own_words(tmp_path):
    error = "ImportError: libtorch_cuda.so: undefined symbol: ncclCommResume"
    (line,) = judge_stack(read_facts(said({"torch_error": error})), "", gpu_machine(tmp_path))
    assert (line.state, line.found) == (State.FAIL, error)


def test_a_crash_while_cuml_is_tried_costs_cuml_only(tmp_path):
    facts = read_facts(said(TORCH, {"libraries": []}, {"cuml": "the process ended while cuML was tried out"}))
    lines = judge_stack(facts, "exit code -11", gpu_machine(tmp_path))
    assert [line.state for line in lines] == ["ok", "ok", "warn"]
    assert lines[-1].found.endswith("exit code -11")


@pytest.mark.parametrize(
    ("family", "version", "machine", "count"),
    [
        ("cuDNN", "9.10.2", "x86_64", 2),
        ("cuDNN", "9.7.1", "x86_64", 0),
        ("cuDNN", "9.15.1", "x86_64", 1),
        ("cuDNN", "9.16.0", "x86_64", 0),
        ("cuDNN", "9.26.0", "x86_64", 0),
        ("cuDNN", "", "x86_64", 0),
        ("NCCL", "2.27.5", "x86_64", 0),
        ("NCCL", "2.27.5", "aarch64", 1),
        ("NCCL", "2.29.2", "x86_64", 1),
        ("NCCL", "2.29.3", "aarch64", 0),
    ],
)
def test_known_bad_versions(family, version, machine, count):
    lines = judge_known_bad([Library(family, "/somewhere", version)], machine)
    assert len(lines) == count
    assert all(line.state is State.WARN and version in line.found for line in lines)


def test_the_pinned_sets_have_the_bad_versions_that_the_manual_admits():
    sets = pinned_sets(REPOSITORY / "constraints")
    bad = {
        name: [
            line.found.split(":")[0]
            for line in judge_known_bad(
                [Library("cuDNN", "", sets[name][cudnn]), Library("NCCL", "", sets[name][nccl])], "x86_64"
            )
        ]
        for name, cudnn, nccl in (
            ("cuda12", "nvidia-cudnn-cu12", "nvidia-nccl-cu12"),
            ("cuda13", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"),
        )
    }
    assert bad == {"cuda12": ["cuDNN 9.10.2.21"] * 2, "cuda13": []}


def test_the_manual_lists_every_known_bad_version():
    manual = (REPOSITORY / "docs/doctor.md").read_text(encoding="utf-8")
    assert all(
        source.split()[0] in manual
        for one in KNOWN_BAD
        for source in one.source.split(", ")
        if source.startswith("https")
    )


def test_every_known_bad_version_has_a_source():
    assert all(one.source.startswith("https://") for one in KNOWN_BAD)
