"""Nothing that a check does may hang the whole or end it: broken checks, silent ones, commands that never end."""

import os
import time

import psutil
import pytest
from support.commands import commands_in
from support.processes import python

from dcam_dist.hpc.doctor import CHECKS, Line, Machine, State, examine, failed
from dcam_dist.hpc.doctor.command import ask, is_there
from dcam_dist.hpc.doctor.line import fail, ok, some, warn
from dcam_dist.hpc.doctor.numbers import dotted, numbers_of, size

HERE = dict(os.environ)


def broken(_):
    return [ok("never", str(1 / 0))]


def silent(_):
    time.sleep(30)
    return []


def test_a_check_that_breaks_is_a_warning():
    first, second = examine(checks={"strange": broken, "good": lambda _: [ok("good", "fine")]})
    assert (first.name, first.state) == ("strange", State.WARN)
    assert "ZeroDivisionError: division by zero" in first.found
    assert second == ok("good", "fine")


def test_a_check_that_never_answers_is_left_behind():
    begun = time.monotonic()
    first, second = examine(checks={"silent": silent, "good": lambda _: [ok("good", "fine")]}, longest_s=0.5)
    assert time.monotonic() - begun < 10
    assert (first.name, first.state, second.name) == ("silent", State.WARN, "good")


def test_a_process_can_end_with_such_a_check_in_it():
    program = """
import time
from dcam_dist.hpc.doctor import examine
print(examine(checks={"silent": lambda machine: time.sleep(120)}, longest_s=0.5)[0].found)
"""
    ended = python(["-c", program], timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "no answer in 0 s\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user whom the limit binds")
def test_where_no_thread_can_be_started_the_limit_is_still_said():
    program = """
import os, resource, threading
from dcam_dist.hpc.doctor import Machine, examine
from dcam_dist.hpc.doctor.limits import limit_lines
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
os.setuid(54321)
try:
    threading.Thread(target=int).start()
except RuntimeError:
    print({line.name: line.state.value for line in examine(Machine(), {"limits": limit_lines})}["ulimit nproc"])
"""
    ended = python(["-c", program], timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "fail\n"), ended.stderr


def test_every_check_speaks_on_an_empty_machine(tmp_path):
    nothing = Machine(tmp_path, {}, *(tmp_path / name for name in ("proc", "sys", "dev", "cgroup", "root", "pins")))
    checks = {name: check for name, check in CHECKS.items() if name != "libraries"}
    lines = examine(nothing, checks)
    assert len(lines) > len(checks)
    assert not [line for line in lines if "the check itself failed" in line.found]


def test_what_failed_is_named_once():
    lines = [ok("a", ""), fail("b", "", "x"), warn("c", "", "x"), fail("b", "", "x"), fail("d", "", "x")]
    assert failed(lines) == ["b", "d"]
    assert isinstance(lines[0], Line)


def test_a_command_that_is_not_there():
    assert ask(["no-such-command"], HERE) is None
    assert not is_there("no-such-command", HERE) and is_there("sh", HERE)


def test_a_command_and_its_end(tmp_path):
    path = {
        "PATH": commands_in(tmp_path, good='echo out; echo "$LC_ALL" >&2', bad="echo no >&2; exit 3", mute="exit 4")
    }
    good = ask(["good"], path)
    assert (good.code, good.out, good.err, good.trouble) == (0, "out\n", "C\n", "")
    assert ask(["bad"], path).trouble == "exit code 3: no"
    assert ask(["mute"], path).trouble == "exit code 4"


def test_a_file_that_is_no_program_is_no_command(tmp_path):
    (tmp_path / "tool").write_bytes(b"\x7fELF but not really")
    (tmp_path / "tool").chmod(0o755)
    assert ask(["tool"], {"PATH": str(tmp_path)}) is None


def test_a_command_that_does_not_end_is_killed_with_all_that_it_started(tmp_path):
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {tmp_path}/started; sleep 60"
    begun = time.monotonic()
    answer = ask(["slow"], {"PATH": commands_in(tmp_path, slow=script)}, patience_s=1.0)
    assert time.monotonic() - begun < 20
    assert (answer.code, answer.trouble) == (None, "does not answer in time")
    started = [int(number) for number in (tmp_path / "started").read_text().split()]
    assert len(started) == 2
    deadline = time.monotonic() + 5
    while any(map(_lives, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [number for number in started if _lives(number)] == []


def _lives(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_whose_child_has_gone_elsewhere_does_not_hold_us(tmp_path):
    """It keeps our pipe open from a session of its own, where our signal does not reach it."""
    path = {"PATH": commands_in(tmp_path, slow="setsid sleep 20 & sleep 60")}
    begun = time.monotonic()
    assert ask(["slow"], path, patience_s=0.5).code is None
    assert time.monotonic() - begun < 15


def test_words_and_numbers():
    assert some("abcdef", 2) == "a, b and 4 more" and some("ab") == "a, b"
    assert numbers_of("580.65.06") == (580, 65, 6) and numbers_of("x") == ()
    assert numbers_of("2.10.0+cu128") == (2, 10, 0) and dotted((9, 10, 2)) == "9.10.2"
    assert [size(count) for count in (5, 2048, 3 * 2**30, 2**41)] == ["5 bytes", "2.0 KiB", "3.0 GiB", "2.0 TiB"]
