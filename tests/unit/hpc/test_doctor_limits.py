"""Limits of a process and shared memory."""

import json

import pytest
from support.processes import python

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.limits import ENDLESS, LIMITS, Limit, judge_limits, judge_shm, limit_lines, shm_line
from dcam_dist.hpc.doctor.numbers import GIB

GOOD = {name: Limit(ENDLESS, ENDLESS) for name in LIMITS} | {"core": Limit(0, ENDLESS)}


def judged(infiniband=False, **limits):
    lines = judge_limits(GOOD | limits, infiniband=infiniband)
    return {line.name.removeprefix("ulimit "): line for line in lines}


def test_good_limits_are_good():
    assert {line.state for line in judged(infiniband=True).values()} == {State.OK}


@pytest.mark.parametrize(
    ("name", "limit", "state", "remedy"),
    [
        ("nofile", Limit(64, 4096), "fail", "ulimit -n 1024"),
        ("nofile", Limit(512, 512), "warn", "ask the administrators"),
        ("nofile", Limit(1024, 1024), "ok", ""),
        ("nproc", Limit(100, 100), "fail", "ask the administrators"),
        ("nproc", Limit(500, ENDLESS), "warn", "ulimit -u 1024"),
        ("stack", Limit(2**20, ENDLESS), "warn", "ulimit -s 8192"),
        ("core", Limit(ENDLESS, ENDLESS), "warn", "ulimit -c 0"),
        ("fsize", Limit(2**20, ENDLESS), "fail", "ulimit -f unlimited"),
        ("fsize", Limit(8 * GIB, ENDLESS), "warn", "ulimit -f unlimited"),
    ],
)
def test_each_limit(name, limit, state, remedy):
    lines = judged(**{name: limit})
    assert lines.pop(name).state == state
    assert {line.state for line in lines.values()} == {State.OK}
    assert remedy in judged(**{name: limit})[name].remedy


def test_locked_memory_matters_with_infiniband_only():
    little = Limit(2**23, 2**23)
    assert judged(memlock=little)["memlock"].state is State.OK
    assert judged(infiniband=True, memlock=little)["memlock"].state is State.WARN


@pytest.mark.parametrize(
    ("total", "free", "state"),
    [
        (None, None, "fail"),
        (2**20, 2**20, "fail"),
        (2**26, 2**26, "warn"),
        (2**26, 2**20, "fail"),
        (8 * GIB, 8 * GIB, "ok"),
        (8 * GIB, GIB // 2, "warn"),
    ],
)
def test_shared_memory(total, free, state):
    assert judge_shm(total, free).state == state


def test_this_machine_has_shared_memory_and_another_folder_has_none(tmp_path):
    assert "free of" in shm_line(Machine().dev / "shm").found
    assert shm_line(tmp_path / "shm").state is State.FAIL


def test_limits_are_those_of_the_process():
    program = """
import json, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
from dcam_dist.hpc.doctor import Machine
from dcam_dist.hpc.doctor.limits import limit_lines
print(json.dumps({line.name: line.state for line in limit_lines(Machine())}))
"""
    ended = python(["-c", program])
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["ulimit nofile"], found["ulimit fsize"]) == ("fail", "fail")
    assert len(limit_lines(Machine())) == len(found) == len(LIMITS) + 1
