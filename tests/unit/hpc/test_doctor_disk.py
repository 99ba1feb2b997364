"""Room for files: file systems, quotas and the kind of a folder's file system."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import commands_in

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.disk import Room, disk_lines, judge_room, room_in
from dcam_dist.hpc.doctor.mounts import is_shared, kind_of, spoken
from dcam_dist.hpc.doctor.numbers import GIB
from dcam_dist.hpc.doctor.quota import Quota, judge_quota, parse_quota, quota_lines

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
41 27 0:41 / /scratch\\040two rw - lustre 10.0.0.1@o2ib:/scratch rw
42 40 0:42 / /home/local rw - tmpfs tmpfs rw
43 27 0:43 / /home/local rw - xfs /dev/sdb rw
44 27 0:44 / /far rw - fuse.sshfs me@far:/ rw
broken line
"""
QUOTA = """\
Disk quotas for user me (uid 1000):
     Filesystem   space   quota   limit   grace   files   quota   limit   grace
server:/home        12G     20G     22G            120k    200k    220k
server:/a/very/long/name/of/a/share
                 21500M*    20G     22G   6days       5       0       0
/dev/sda1             4K      0K      0K               1       0       0
"""
LFS = """\
     /scratch/me 912680550  1073741824 1181116006       - 1000001*  1000000 1100000 6d23h
/scratch/with/a/name/that/wraps
                 1024       0       0       -      10       0       0       -
"""


def machine(tmp_path, mounts=MOUNTS, **variables):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mounts)
    return Machine(folder=tmp_path, proc=tmp_path / "proc", variables=variables)


@pytest.mark.parametrize(
    ("folder", "kind", "shared"),
    [
        ("/", "ext4", False),
        ("/homework", "ext4", False),
        ("/home/me/cache", "nfs4", True),
        ("/home/local/me", "xfs", False),
        ("/scratch two/me", "lustre", True),
        ("/far/away", "fuse.sshfs", True),
    ],
)
def test_the_kind_of_a_folder_is_that_of_the_nearest_mount(tmp_path, folder, kind, shared):
    found = kind_of(Path(folder), machine(tmp_path))
    assert (found, is_shared(found)) == (kind, shared)


def test_kinds_for_people(tmp_path):
    assert [spoken(kind) for kind in ("nfs4", "ext4", "", "fuse.glusterfs")] == [
        "NFS",
        "ext4",
        "an unknown file system",
        "GlusterFS",
    ]
    assert kind_of(tmp_path, Machine(proc=tmp_path)) == ""
    assert kind_of(Path("/proc"), Machine()) == "proc"


@pytest.mark.parametrize(
    ("room", "state"),
    [
        (Room(100 * GIB, 10**6), "ok"),
        (Room(100 * GIB, None), "ok"),
        (Room(2 * GIB, 10**6), "warn"),
        (Room(2**20, 10**6), "fail"),
        (Room(100 * GIB, 5000), "warn"),
        (Room(100 * GIB, 0), "fail"),
        (Room(100 * GIB, 10**6, read_only=True), "fail"),
    ],
)
def test_room(room, state):
    assert judge_room("current folder", Path("/data"), room, "ext4").state == state


def test_a_full_home_is_no_end_of_the_work():
    assert judge_room("HOME", Path("/home/me"), Room(0, 0), "NFS").state is State.WARN


def test_the_folders_of_this_machine(tmp_path):
    assert room_in(tmp_path).free > 0
    assert room_in(Path("/sys")).free == 0
    here = machine(tmp_path, TMPDIR=str(tmp_path / "gone"), HOME=str(tmp_path), PATH=str(tmp_path))
    lines = {line.name: line for line in disk_lines(here)}
    assert lines["disk: TMPDIR"].state is State.FAIL
    assert lines["disk: TMPDIR"].found == f"{tmp_path / 'gone'}: No such file or directory"
    assert str(tmp_path) in lines["disk: current folder"].found


def test_quota_of_linux():
    home, long, plain = parse_quota(QUOTA)
    assert home == Quota("server:/home", 12 * GIB, 20 * GIB, 120_000, 200_000)
    assert (long.place, long.share > 1) == ("server:/a/very/long/name/of/a/share", True)
    assert (plain.limit, plain.file_limit, plain.share) == (0, 0, 0.0)


def test_quota_of_lustre():
    scratch, wrapped = parse_quota(LFS)
    assert scratch == Quota("/scratch/me", 912680550 * 1024, 1073741824 * 1024, 1_000_001, 1_000_000)
    assert wrapped == Quota("/scratch/with/a/name/that/wraps", 1024 * 1024, 0, 10, 0)


@given(st.text() | st.text(alphabet="0123456789kMGT* /-\n"))
def test_any_text_can_be_read(text):
    for quota in parse_quota(text):
        judge_quota(quota)


@pytest.mark.parametrize(("used", "state"), [(80, "ok"), (95, "warn"), (100, "fail"), (120, "fail")])
def test_a_quota_that_is_nearly_used_up(used, state):
    assert judge_quota(Quota("/home", used, 100, 1, 0)).state == state
    assert judge_quota(Quota("/home", 1, 0, used, 100)).state == state


def test_both_commands_are_asked_where_they_are(tmp_path):
    (tmp_path / "quota.txt").write_text(QUOTA)
    (tmp_path / "lfs.txt").write_text(LFS)
    here = machine(
        tmp_path,
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n41 27 0:41 / {tmp_path} rw - lustre x rw\n",
        PATH=commands_in(tmp_path / "bin", quota=f"cat {tmp_path}/quota.txt; exit 1", lfs=f"cat {tmp_path}/lfs.txt"),
    )
    lines = quota_lines(here, [tmp_path, Path("/")])
    assert [line.state for line in lines] == ["ok", "fail", "ok", "fail", "ok"]
    assert quota_lines(Machine(proc=here.proc, variables={"PATH": "/nowhere"}), [tmp_path]) == []
