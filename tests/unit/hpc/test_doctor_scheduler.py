"""Slurm, PBS, LSF or none; in a job, in a container; asked through real commands that answer like theirs."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import commands_in

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.scheduler import (
    Scheduler,
    container_of,
    find_scheduler,
    judge_scheduler,
    parse_left,
    scheduler_lines,
    spoken_time,
)

SLURM = {"sbatch": "echo slurm 24.05.4", "srun": "true", "scontrol": "true"}


def machine(tmp_path, commands, **variables):
    (tmp_path / "root").mkdir(exist_ok=True)
    return Machine(root=tmp_path / "root", variables={"PATH": commands_in(tmp_path / "bin", **commands), **variables})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1-02:03:04", 93784), ("02:03:04", 7384), ("3:04", 184), ("UNLIMITED", None), ("NOT_SET", None), ("", None)],
)
def test_time_left_of_squeue(text, seconds):
    assert parse_left(f"{text}\n") == seconds


@given(st.text())
def test_any_text_can_be_read(text):
    left = parse_left(text)
    assert left is None or left >= 0


def test_times_for_people():
    assert [spoken_time(seconds) for seconds in (-5, 59, 3599, 7500)] == ["0 min", "0 min", "59 min", "2 h 05 min"]


def test_no_scheduler(tmp_path):
    (line,) = scheduler_lines(machine(tmp_path, {}))
    assert (line.state, line.found) == (State.OK, "none")


def test_slurm_outside_of_a_job(tmp_path):
    first, commands = scheduler_lines(machine(tmp_path, SLURM))
    assert (first.state, first.found) == (State.OK, "Slurm 24.05.4, not in a job")
    assert commands.state is State.OK


def test_the_end_of_a_job_by_its_variable_and_by_squeue(tmp_path):
    end = str(int(time.time()) + 7300)
    found = find_scheduler(machine(tmp_path, SLURM, SLURM_JOB_ID="7", SLURM_JOB_END_TIME=end))
    assert (found.job, found.left_s) == ("7", pytest.approx(7300, abs=5))
    asked = SLURM | {"squeue": 'test "$3" = 7 && echo 1-00:00:00'}
    assert find_scheduler(machine(tmp_path, asked, SLURM_JOB_ID="7")).left_s == 86400
    assert find_scheduler(machine(tmp_path, asked, SLURM_JOB_ID="8")).left_s is None


def test_a_job_that_ends_soon_warns():
    lines = judge_scheduler(Scheduler(name="Slurm", job="7", left_s=120.0))
    assert [line.state for line in lines] == ["ok", "warn", "ok"]
    assert "2 min left" in lines[0].found


def test_a_slurm_that_does_not_answer_is_said(tmp_path):
    said = "sbatch: fatal: Could not establish a configuration source"
    first, _ = scheduler_lines(machine(tmp_path, SLURM | {"sbatch": f"echo warming up >&2; echo {said} >&2; exit 1"}))
    assert first.state is State.WARN
    assert said in first.found and "warming" not in first.found


def test_missing_commands_of_slurm(tmp_path):
    _, commands = scheduler_lines(machine(tmp_path, {"sbatch": "echo slurm 24.05.4"}))
    assert (commands.state, commands.found) == (State.WARN, "missing: srun, scontrol")


def test_inside_a_container_a_requeue_cannot_be_asked_for(tmp_path):
    here = machine(tmp_path, {}, SLURM_JOB_ID="7", APPTAINER_CONTAINER="/images/dcam.sif")
    first, requeue = scheduler_lines(here)
    assert first.found == "Slurm, in job 7, in a container of Apptainer"
    assert (requeue.name, requeue.state) == ("requeue", State.WARN)
    assert "scontrol requeue" in requeue.remedy


@pytest.mark.parametrize(("mark", "kind"), [(".dockerenv", "Docker"), ("run/.containerenv", "Podman"), ("etc", "")])
def test_marks_of_containers(tmp_path, mark, kind):
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    assert container_of(Machine(root=tmp_path, variables={})) == kind


@pytest.mark.parametrize(
    ("name", "variable", "command", "answer"),
    [
        ("PBS", "PBS_JOBID", "qsub", "echo pbs_version = 23.06.06"),
        ("LSF", "LSB_JOBID", "bsub", "echo IBM Spectrum LSF Standard 10.1.0.14 >&2"),
    ],
)
def test_other_schedulers_are_named_and_said_to_be_untried(tmp_path, name, variable, command, answer):
    first, untried = scheduler_lines(machine(tmp_path, {command: answer}, **{variable: "42.head"}))
    assert first.found.startswith(f"{name} ") and first.found.endswith("in job 42.head")
    assert first.found.split(",")[0].split()[1].count(".") >= 2
    assert (untried.state, "not been tried" in untried.found) == (State.WARN, True)
