"""Parts of one ingest in processes of their own, at the same moment, killed and asked to end: the bytes of one call."""

import os
import secrets
import shutil
import signal
import stat
import time

import pytest
from support.ct_files import series, write_series
from support.processes import dcam_dist, start_python

from benchmarks.ingest_kills import tree_hash
from dcam_dist.phantom import write_phantom_cohort

pytestmark = pytest.mark.distributed

CASES, PARTS = 12, 4
SETTINGS = ("grid.shape=[16,16,16]", "ingest.workers=1")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Twelve DICOM folders, and a series that is no CT."""
    folder = tmp_path_factory.mktemp("scans")
    write_phantom_cohort(folder / "phantoms", cases=CASES, matrix=96, format="dicom")
    slices = series(patient="CanaryId")
    for dataset in slices:
        dataset.Modality = "MR"
    write_series(folder / "mr", slices)
    return folder


def _start(sources, out, part, log, settings=SETTINGS):
    arguments = ["-m", "dcam_dist", "ingest", *map(str, sources), *settings, "--out", str(out), "--part", part]
    with log.open("wb") as stream:
        return start_python(arguments, stream)


def _plain(sources, out):
    return dcam_dist("ingest", *sources, *SETTINGS, "--out", out)


def _alone(sources, out, key_of):
    """By one plain call, under the key of another cohort."""
    shutil.copy(key_of.with_suffix(".private.json"), out.with_suffix(".private.json"))
    assert _plain(sources, out).returncode == 0
    return tree_hash(out)


def _strays(folder, *cohorts):
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}


def test_parts_that_start_together_make_one_key_and_the_bytes_of_one_call(tmp_path, scans):
    sources, out = [scans / "phantoms", scans / "mr"], tmp_path / "c.zarr"  # folders without ids: all rests on the key
    logs = [tmp_path / f"{index}.log" for index in range(1, PARTS + 1)]
    started = [_start(sources, out, f"{index}/{PARTS}", log) for index, log in enumerate(logs, start=1)]
    assert [process.wait(240) for process in started] == [0] * PARTS, [log.read_text() for log in logs]
    told = "".join(log.read_text() for log in logs)
    assert told.count("set aside for now: 1") == told.count("wrong_modality") == 1
    assert told.count("4 of 13 cases") == 1 and told.count("3 of 13 cases") == 3
    private = out.with_suffix(".private.json")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600 and _strays(tmp_path) == set()
    assert len(list(out.glob("cases/*/commit"))) == CASES
    inodes = {path: path.stat().st_ino for path in out.glob("cases/*/commit")}
    last = _plain(sources, out)
    assert last.returncode == 0 and f"accepted: {CASES}, set aside: 1" in last.stdout
    assert {path: path.stat().st_ino for path in out.glob("cases/*/commit")} == inodes  # found, not made again
    assert tree_hash(out) == _alone(sources, tmp_path / "d.zarr", out)
    assert "anary" not in told + last.stdout + last.stderr and str(scans) not in told


def _wait(seen, *processes):
    deadline = time.monotonic() + 120
    while not seen():
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_part_costs_its_case_in_hand_and_both_refusals_are_one_line(tmp_path, scans):
    sources, out = [scans / "phantoms" / "cases.csv"], tmp_path / "c.zarr"
    first = _start(sources, out, "1/2", tmp_path / "1.log")
    second = _start(sources, out, "2/2", tmp_path / "2.log")
    _wait(lambda: list(out.glob(".incoming/*")), first, second)
    time.sleep(secrets.randbelow(300) / 1000)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.poll() is None
    second.send_signal(signal.SIGSTOP)
    refused = _plain(sources, out)
    assert refused.returncode == 4 and len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert f"another ingest is writing it (of several; the last to begin: host {os.uname().nodename}" in refused.stderr
    second.send_signal(signal.SIGCONT)
    again = _start(sources, out, "1/2", tmp_path / "again.log")
    assert [again.wait(240), second.wait(240)] == [0, 0], (tmp_path / "again.log").read_text()
    assert len(list(out.glob("cases/*/commit"))) == CASES
    assert _plain(sources, out).returncode == 0
    assert tree_hash(out) == _alone(sources, tmp_path / "d.zarr", out) and _strays(tmp_path) == set()


@pytest.mark.slow
def test_the_last_call_does_the_rest_of_parts_that_ended_early(tmp_path, scans):
    sources, out = [scans / "phantoms" / "cases.csv"], tmp_path / "c.zarr"
    killed, asked = (_start(sources, out, f"{index}/2", tmp_path / f"{index}.log") for index in (1, 2))
    _wait(lambda: list(out.glob("cases/*/commit")), killed, asked)
    killed.send_signal(signal.SIGKILL)
    asked.send_signal(signal.SIGUSR1)
    assert (killed.wait(60), asked.wait(60)) == (-signal.SIGKILL, 75), (tmp_path / "2.log").read_text()
    assert 0 < len(list(out.glob("cases/*/commit"))) < CASES
    assert _plain(sources, out).returncode == 0
    assert tree_hash(out) == _alone(sources, tmp_path / "d.zarr", out) and _strays(tmp_path) == set()


def test_a_part_is_refused_beside_a_plain_ingest(tmp_path, scans):
    sources, out = [scans / "phantoms" / "cases.csv"], tmp_path / "c.zarr"
    arguments = ["-m", "dcam_dist", "ingest", *map(str, sources), *SETTINGS, "--out", str(out)]
    plain = start_python(arguments)
    _wait(lambda: list(out.glob(".incoming/*")), plain)
    plain.send_signal(signal.SIGSTOP)
    part = dcam_dist("ingest", *sources, *SETTINGS, "--out", out, "--part", "2/3")
    assert part.returncode == 4 and len(part.stderr.strip().splitlines()) == 1, part.stderr
    assert f"another ingest is writing it (host {os.uname().nodename}, process {plain.pid}" in part.stderr
    plain.send_signal(signal.SIGCONT)
    assert plain.wait(240) == 0 and _strays(tmp_path) == set()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--strict"], "--part excludes --strict: give it to the last call"),
        (["--slurm", "site.yaml"], "--part excludes --slurm: a part uses the cores of its own node"),
        (["--scheduler", "tls://h:1"], "--part excludes --scheduler"),
        (["--part", "3/2"], "part 3/2: there is none; parts are 1/2 to 2/2"),
        (["--part", "two"], "--part two: not I/N"),
    ],
)
def test_what_a_part_cannot_have_is_a_usage_error(tmp_path, scans, options, line):
    part = dcam_dist("ingest", scans / "mr", "--out", tmp_path / "c.zarr", "--part", "1/2", *options)
    assert part.returncode == 2 and part.stderr.startswith(f"dcam-dist: {line}"), part.stderr
    assert not list(tmp_path.iterdir())
