"""Two nodes of a job on this machine: processes with Slurm's numbers set by hand, which meet over loopback."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from support.cohorts import make_cohort
from support.processes import REPOSITORY, environment

import dcam_dist

pytestmark = pytest.mark.distributed

HOST = os.uname().nodename
LIMIT_S = 120


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _start(node, *arguments, before=(), root=REPOSITORY):
    command = [
        *before,
        sys.executable,
        "-m",
        "dcam_dist",
        "preflight",
        "--gpus",
        "0",
        "--wait",
        "25",
        *map(str, arguments),
    ]
    variables = {**environment(), "PYTHONPATH": str(root), "SLURM_NODEID": str(node), "SLURM_JOB_ID": "4711"}
    return subprocess.Popen(command, cwd=root, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _end(*nodes):
    """Exit code, standard output and lines of standard error of each."""
    ended = []
    for node in nodes:
        out, err = node.communicate(timeout=LIMIT_S)
        ended.append((node.returncode, out, err.splitlines()))
    return ended


def _meeting(port, nodes=2, host="127.0.0.1"):
    return "--nodes", nodes, "--meet", f"{host}:{port}"


def test_two_nodes_that_agree(tmp_path, port):
    cohort, output = make_cohort(tmp_path / "c.zarr", 4), tmp_path / "run"
    arguments = (*_meeting(port), "--cohort", cohort, "--output", output)
    first, other = _end(_start(0, *arguments), _start(1, *arguments))
    assert other == (0, "", []) and first[0] == 0 and first[2] == []
    said = (
        f"preflight: 2 nodes without GPUs, cohort {cohort} (3 training cases), output {output} writable, clocks within "
    )
    assert first[1].startswith(said) and first[1].endswith(" ms, versions equal\n") and first[1].count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.zarr"]


def test_a_node_beyond_their_number(port):
    first, other = _end(_start(0, *_meeting(port)), _start(2, *_meeting(port)))
    assert other == (4, "", []) and first[0] == 4
    assert first[2][0].startswith(f"dcam-dist: node 2 ({HOST}): --nodes says 2, but this is number 2")


def test_another_cohort_under_the_same_path(tmp_path, port, mounts):
    cohort, another = make_cohort(tmp_path / "c.zarr", 4), make_cohort(tmp_path / "d.zarr", 4, seed=1)
    arguments = (*_meeting(port), "--cohort", cohort)
    before = mounts(f"mount --bind {another} {cohort}")
    first, other = _end(_start(0, *arguments), _start(1, *arguments, before=before))
    assert other == (4, "", []) and first[:2] == (4, "") and len(first[2]) == 1
    assert f"node 1 ({HOST}): {cohort} is another cohort there than on node 0" in first[2][0]


def test_an_output_that_a_node_cannot_write(tmp_path, port, mounts):
    output = tmp_path / "run"
    output.mkdir()
    arguments = (*_meeting(port), "--output", output)
    before = mounts(f"mount --bind {output} {output} && mount -o remount,ro,bind {output}")
    first, other = _end(_start(0, *arguments), _start(1, *arguments, before=before))
    assert other == (4, "", []) and first[0] == 4 and len(first[2]) == 1
    assert f"node 1 ({HOST}): {output}: cannot be written (Read-only file system)" in first[2][0]
    assert not list(output.iterdir())


def test_an_output_that_is_not_shared(tmp_path, port, mounts):
    arguments = (*_meeting(port), "--output", tmp_path / "run")
    (local := tmp_path / "run").mkdir()
    before = mounts(f"mount -t tmpfs none {local}")
    first, other = _end(_start(0, *arguments), _start(1, *arguments, before=before))
    assert other == (4, "", []) and first[0] == 4 and len(first[2]) == 1
    assert f"node 1 ({HOST}): {local}: not the same folder as on the first node" in first[2][0]
    assert not list(local.iterdir())


@pytest.fixture
def mounts():
    """A command prefix under which mounts are of one process alone."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here (unshare -rm)")

    def prefix(mount):
        return ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]

    return prefix


def test_a_checkout_with_a_changed_file(tmp_path, port):
    copy = shutil.copytree(os.path.dirname(dcam_dist.__file__), tmp_path / "dcam_dist")  # noqa: PTH120
    with (copy / "__init__.py").open("a") as stream:
        stream.write("# changed\n")
    first, other = _end(_start(0, *_meeting(port)), _start(1, *_meeting(port), root=tmp_path))
    assert other == (4, "", []) and first[0] == 4 and len(first[2]) == 1
    assert f"node 1 ({HOST}): files of dcam_dist " in first[2][0]


def test_a_host_that_nobody_knows_or_that_is_another(port):
    unknown = _meeting(port, host="no-such-host.invalid")
    for code, out, lines in _end(_start(0, *unknown), _start(1, *unknown)):
        assert (code, out, len(lines)) == (4, "", 1) and "no address is known of no-such-host.invalid" in lines[0]
    ((code, _, lines),) = _end(_start(0, *_meeting(port, host="192.0.2.1")))
    assert code == 4 and "192.0.2.1" in lines[0] and "is not on this node, the first" in lines[0]


def test_without_a_scheduler_the_owner_of_the_address_is_the_first(port):
    first, other = _start("", *_meeting(port)), None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and other is None:  # a second process of this host owns the address as well
        with socket.socket() as probe:
            other = _start(1, *_meeting(port)) if probe.connect_ex(("127.0.0.1", port)) == 0 else None
        time.sleep(0.05)
    ended = _end(first, other)
    assert [code for code, _, _ in ended] == [0, 0] and ended[0][1].startswith("preflight: 2 nodes")
