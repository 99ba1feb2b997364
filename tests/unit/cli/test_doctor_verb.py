"""``dcam-dist doctor`` as a real process: the table, the list, the exit code, and libraries that break on import."""

import json
import sys

import pytest
from support.processes import REPOSITORY, run

KEYS = {"name", "state", "found", "remedy"}


def doctor(*arguments, before="", **variables):
    command = f'{before} exec "$0" -m dcam_dist doctor "$@"'
    return run(["bash", "-c", command, sys.executable, *arguments], timeout=180, **variables)


def states(ended):
    return {line["name"]: line["state"] for line in json.loads(ended.stdout)}


@pytest.fixture
def broken(tmp_path):
    """A folder for ``PYTHONPATH`` with packages that break."""

    def make(**packages):
        for name, content in packages.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text(content)
        return str(tmp_path)

    return make


def test_the_table_names_every_line_and_ends_well():
    ended = doctor()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    for name in ("python", "packages", "GPU driver", "GPUs", "ulimit nofile", "disk: HOME", "clock", "network"):
        assert any(f" {name} " in line for line in ended.stdout.splitlines()), name


def test_the_list_holds_the_same_and_remedies_where_they_are_needed():
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR")
    ended = doctor("--json", **dict.fromkeys(names, "/tmp"))  # noqa: S108 - any folder that is there
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = json.loads(ended.stdout)
    assert all(set(line) == KEYS and line["found"] for line in lines)
    assert all(bool(line["remedy"]) == (line["state"] != "ok") for line in lines)
    assert {line["state"] for line in lines} <= {"ok", "warn"}
    manual = (REPOSITORY / "docs/doctor.md").read_text(encoding="utf-8")
    assert [line["name"] for line in lines if f"`{line['name']}`" not in manual] == []


def test_what_fails_is_named_in_one_line_with_exit_code_4():
    ended = doctor("--json", before="ulimit -n 64; ulimit -c 1000;", GLOO_SOCKET_IFNAME="nosuch0", NCCL_P2P_DISABLE="1")
    assert ended.returncode == 4
    (line,) = ended.stderr.splitlines()
    assert line.startswith("dcam-dist: this machine is not fit for the work: ")
    assert "ulimit nofile" in line and "GLOO_SOCKET_IFNAME" in line
    found = states(ended)
    assert (found["ulimit nofile"], found["GLOO_SOCKET_IFNAME"]) == ("fail", "fail")
    assert (found["ulimit core"], found["NCCL tuning"]) == ("warn", "warn")


def test_the_table_is_there_before_the_error():
    ended = doctor(GLOO_SOCKET_IFNAME="nosuch0")
    assert ended.returncode == 4
    assert "nosuch0 is no interface here" in ended.stdout
    assert len(ended.stderr.splitlines()) == 1


def test_variables_of_a_launch_that_is_over_do_not_hold_it_up():
    ended = doctor("--json", RANK="1", WORLD_SIZE="2", LOCAL_RANK="1", MASTER_ADDR="gone", MASTER_PORT="1")
    assert ended.returncode == 0, ended.stderr
    assert states(ended)["launcher's variables"] == "warn"


def test_a_torch_that_cannot_be_imported_fails(broken):
    path = broken(torch="raise ImportError('libtorch_cuda.so: undefined symbol: ncclCommResume')")
    ended = doctor("--json", PYTHONPATH=path)
    assert ended.returncode == 4
    (line,) = [line for line in json.loads(ended.stdout) if line["name"] == "torch"]
    assert "undefined symbol: ncclCommResume" in line["found"]
    assert "torch" in ended.stderr


def test_a_cuml_that_crashes_on_import_is_a_warning_and_torch_is_still_judged(broken):
    path = broken(cuml="import os; os.abort()", cupy="__version__ = '0'")
    ended = doctor("--json", PYTHONPATH=path)
    assert ended.returncode == 0, ended.stderr
    found = {line["name"]: line for line in json.loads(ended.stdout)}
    assert (found["cuML"]["state"], found["GPU driver"]["state"]) == ("warn", "ok")
    assert "exit code -6" in found["cuML"]["found"]
