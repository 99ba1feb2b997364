"""Variables that launchers leave behind and that people copy from elsewhere."""

import json

import pytest
from support.processes import python, torchrun

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.variables import (
    is_launched,
    judge_accelerator,
    judge_launcher,
    judge_threads,
    judge_tuning,
    variable_lines,
)

LOOK = """
import json, sys
from dcam_dist.hpc.doctor import Machine
from dcam_dist.hpc.doctor.variables import variable_lines
open(sys.argv[1], "w").write(json.dumps({line.name: line.state for line in variable_lines(Machine())}))
"""


def test_variables_of_a_launch_that_is_over():
    left = {"RANK": "1", "WORLD_SIZE": "2", "PATH": "/bin"}
    line = judge_launcher(left, launched=False)
    assert (line.state, line.remedy) == (State.WARN, "unset RANK WORLD_SIZE")
    assert judge_launcher(left, launched=True).state is State.OK
    assert judge_launcher({"PATH": "/bin"}, launched=False).found == "none"


def test_a_real_launcher_is_recognised_and_its_absence_too(tmp_path):
    script, alone, ranked = tmp_path / "look.py", tmp_path / "alone.json", tmp_path / "ranked.json"
    script.write_text(LOOK)
    assert python([str(script), str(alone)], RANK="0", WORLD_SIZE="1").returncode == 0
    ended = torchrun(1, [str(script), str(ranked)])
    assert ended.returncode == 0, ended.stderr
    name = "launcher's variables"
    assert (json.loads(alone.read_text())[name], json.loads(ranked.read_text())[name]) == ("warn", "ok")


@pytest.mark.parametrize(
    ("called", "launched"),
    [
        ("/env/bin/python /env/bin/torchrun --nproc_per_node=2 train.py", True),
        ("/env/bin/python -m dcam_dist.launch --nnodes=1", True),
        ("/env/bin/python -u -m deepspeed.launcher.launch", True),
        ("/bin/bash job.sh torchrun.log", False),
        ("vim /home/me/torchrun/notes.md", False),
    ],
)
def test_launchers_are_known_by_their_command_lines(tmp_path, called, launched):
    parents = {"self": ("python -m (odd) name", "30"), "30": ("bash", "20"), "20": ("launcher", "1")}
    for process, (name, parent) in parents.items():
        (tmp_path / process).mkdir()
        (tmp_path / process / "stat").write_text(f"{process} ({name}) S {parent} 1 1\n")
    (tmp_path / "30/cmdline").write_text("bash\0")
    (tmp_path / "20/cmdline").write_text(called.replace(" ", "\0") + "\0")
    assert is_launched(Machine(proc=tmp_path, variables={})) is launched


def test_a_task_of_srun_is_launched():
    assert is_launched(Machine(variables={"SLURM_STEP_NUM_TASKS": "4"}))


def test_a_process_without_a_readable_past_is_not_launched(tmp_path):
    assert not is_launched(Machine(proc=tmp_path, variables={}))


@pytest.mark.parametrize(
    ("value", "usable", "state"),
    [
        (None, 8, "ok"),
        ("8", 8, "ok"),
        ("4,2", 8, "ok"),
        ("16", 8, "warn"),
        ("2", 1.5, "warn"),
        ("many", 8, "warn"),
        ("0", 8, "warn"),
        ("", 8, "warn"),
    ],
)
def test_threads(value, usable, state):
    assert judge_threads(value, usable).state == state


@pytest.mark.parametrize(
    ("value", "devices", "states"),
    [
        (None, 4, []),
        ("cpu", 0, ["ok"]),
        ("cpu", 4, ["warn"]),
        ("cuda", 0, ["warn"]),
        ("cuda", 1, ["ok"]),
    ],
)
def test_accelerator(value, devices, states):
    assert [line.state for line in judge_accelerator(value, devices)] == states


def test_copied_tuning_is_listed():
    assert judge_tuning({"NCCL_DEBUG": "INFO", "NCCL_SOCKET_IFNAME": "eth0", "OMP": "1"}).state is State.OK
    line = judge_tuning({"NCCL_P2P_DISABLE": "1", "NCCL_IB_HCA": "mlx5"})
    assert (line.state, line.found) == (State.WARN, "NCCL_IB_HCA=mlx5, NCCL_P2P_DISABLE=1")
    assert line.remedy.endswith("unset NCCL_IB_HCA NCCL_P2P_DISABLE")


def test_this_machine():
    lines = variable_lines(Machine(variables={"OMP_NUM_THREADS": "100000", "DS_ACCELERATOR": "cuda"}))
    assert {line.name: line.state for line in lines}["OMP_NUM_THREADS"] == "warn"
