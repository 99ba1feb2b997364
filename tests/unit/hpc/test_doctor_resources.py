"""Memory and processors within control groups of version 1, version 2 and both, in made trees."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.cgroups import MemoryLimit, folders, memory_limits, processor_quota
from dcam_dist.hpc.doctor.numbers import GIB
from dcam_dist.hpc.doctor.resources import Processors, judge_memory, judge_processors, meminfo, resource_lines


def machine(tmp_path, groups, **files):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return Machine(proc=tmp_path / "proc", cgroup=tmp_path / "cgroup")


def test_version_2_walks_up_to_the_tightest(tmp_path):
    here = machine(
        tmp_path,
        "0::/slurm/job_7/step_0\n",
        **{
            "slurm/job_7/step_0/memory.max": "max",
            "slurm/job_7/step_0/memory.current": "5",
            "slurm/job_7/memory.max": 8 * GIB,
            "slurm/job_7/memory.current": 6 * GIB,
            "slurm/job_7/memory.stat": f"anon {GIB}\ninactive_file {GIB}",
            "slurm/memory.max": 64 * GIB,
            "slurm/memory.current": 60 * GIB,
            "slurm/job_7/step_0/cpu.max": "max 100000",
            "slurm/job_7/cpu.max": "250000 100000",
            "slurm/cpu.max": "800000 100000",
        },
    )
    assert memory_limits(here) == [MemoryLimit(8 * GIB, 5 * GIB), MemoryLimit(64 * GIB, 60 * GIB)]
    assert processor_quota(here) == 2.5


def test_version_1_and_its_way_of_saying_no_limit(tmp_path):
    here = machine(
        tmp_path,
        "9:memory:/slurm/job_7\n4:cpu,cpuacct:/slurm/job_7\n1:name=systemd:/\n0::/\n",
        **{
            "memory/memory.limit_in_bytes": 9223372036854771712,
            "memory/slurm/job_7/memory.limit_in_bytes": 4 * GIB,
            "memory/slurm/job_7/memory.usage_in_bytes": 3 * GIB,
            "memory/slurm/job_7/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
            "cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us": 150000,
            "cpu,cpuacct/slurm/job_7/cpu.cfs_period_us": 100000,
            "cpu,cpuacct/cpu.cfs_quota_us": -1,
            "cpu,cpuacct/cpu.cfs_period_us": 100000,
        },
    )
    (limit,) = memory_limits(here)
    assert limit.limit == 4 * GIB
    assert processor_quota(here) == 1.5


def test_a_container_that_sees_its_own_group_at_the_root(tmp_path):
    inside = {"memory.max": 2 * GIB, "memory.current": GIB}
    for groups in ("0::/\n", "0::/docker/abc\n", "0::/../../elsewhere\n"):
        here = machine(tmp_path / str(len(groups)), groups, **inside)
        assert memory_limits(here) == [MemoryLimit(2 * GIB, GIB)]


def test_without_control_groups_there_is_no_limit(tmp_path):
    here = Machine(proc=tmp_path, cgroup=tmp_path)
    assert (folders(here, "memory"), memory_limits(here), processor_quota(here)) == ([], [], None)


@given(st.text())
def test_any_text_can_be_read(text):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "self").mkdir()
        (here / "self/cgroup").write_text(text, encoding="utf-8", errors="replace")
        (here / "memory.max").write_text(text, encoding="utf-8", errors="replace")
        (here / "cpu.max").write_text(text, encoding="utf-8", errors="replace")
        memory_limits(Machine(proc=here, cgroup=here))
        processor_quota(Machine(proc=here, cgroup=here))


@pytest.mark.parametrize(
    ("available", "limits", "state"),
    [
        (20 * GIB, [], "ok"),
        (20 * GIB, [MemoryLimit(2 * GIB, 0)], "warn"),
        (20 * GIB, [MemoryLimit(8 * GIB, 8 * GIB)], "fail"),
        (20 * GIB, [MemoryLimit(32 * GIB, 0), MemoryLimit(16 * GIB, 15.5 * GIB)], "fail"),
        (GIB // 2, [], "fail"),
        (None, [], "warn"),
        (None, [MemoryLimit(8 * GIB, 0)], "ok"),
    ],
)
def test_memory(available, limits, state):
    assert judge_memory(24 * GIB, available, limits).state == state


def test_the_tightest_limit_is_said():
    line = judge_memory(24 * GIB, 20 * GIB, [MemoryLimit(6 * GIB, GIB), MemoryLimit(16 * GIB, 0)])
    assert line.found == "5.0 GiB can be taken; the machine has 24.0 GiB, limited to 6.0 GiB by a control group"
    assert "no limit" in judge_memory(24 * GIB, 20 * GIB, [MemoryLimit(48 * GIB, GIB)]).found


def test_processors():
    assert judge_processors(Processors(16, 16, None)).state is State.OK
    assert judge_processors(Processors(16, 4, 8.0)).state is State.OK
    line = judge_processors(Processors(16, 16, 2.5))
    assert (line.state, "OMP_NUM_THREADS=2" in line.remedy) == (State.WARN, True)
    assert "cpus-per-task" in judge_processors(Processors(128, 1, None)).remedy
    assert judge_processors(Processors(1, 1, None)).state is State.OK


def test_this_machine(tmp_path):
    assert meminfo(Machine(), "MemTotal") > meminfo(Machine(), "MemAvailable") > 0
    assert meminfo(Machine(proc=tmp_path), "MemTotal") is None
    memory, processors = resource_lines(Machine())
    assert "GiB" in memory.found
    assert processors.found.startswith(f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}")
