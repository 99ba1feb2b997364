"""Who works for an ingest, and who may talk to them: processes here behind TLS, and clusters that run already."""

import json
import logging
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, Security
from support.ct_files import chest_hu, lung_box, series, write_image, write_series
from support.processes import REPOSITORY, dcam_dist, environment, start_python

from benchmarks.ingest_kills import tree_hash
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import EnvironmentFault
from dcam_dist.ingest.crews.local import local_crew
from dcam_dist.ingest.crews.running import running_crew
from dcam_dist.ingest.crews.tls import file_security
from dcam_dist.ingest.fanout import run_cases
from dcam_dist.types import QuarantineEntry

pytestmark = pytest.mark.distributed

CASES = 4
SETTINGS = ("grid.shape=[16,16,16]", "ingest.workers=1")
ROUTES = ("", "status", "workers", "info/main/workers.html", "metrics", "health", "json/counts.json", "eventstream")


def _listening():
    """Addresses on which this process and its descendants wait for connections."""
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    return {
        connection.laddr
        for process in family
        for connection in process.net_connections()
        if connection.status == "LISTEN"
    }


def test_workers_here_listen_on_loopback_only_answer_no_route_and_want_a_certificate():
    before = _listening()
    with local_crew(IngestConfig(workers=2), 3) as crew:
        opened = _listening() - before
        assert len(opened) >= 5  # scheduler, two nannies, two workers, and their web servers
        assert {address.ip for address in opened} == {"127.0.0.1"}
        assert crew.client.scheduler_info()["address"].startswith("tls://127.0.0.1:")
        with pytest.raises(OSError):
            Client(crew.client.scheduler_info()["address"], security=Security.temporary(), timeout=3)
        answers = [_get(address.port, route) for address in opened for route in ROUTES]
        assert 404 in answers and set(answers) <= {404, None}
    assert not _listening() - before


def _get(port, route):
    """Status of a web page; ``None`` where no web server speaks."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{route}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_the_key_of_a_local_ingest_is_never_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written = []
    sys.addaudithook(lambda name, args: written.append(str(args[0])) if name == "open" else None)
    with local_crew(IngestConfig(workers=1), 3) as crew:
        assert crew.client.run(_key_files) and not any(crew.client.run(_key_files).values())
        (scratch,) = tmp_path.iterdir()
        assert scratch.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())
    assert not [path for path in written if path.endswith((".pem", ".crt")) and str(tmp_path) in path]


def _key_files():
    return [
        str(path)
        for path in Path(os.environ["TMPDIR"]).rglob("*")
        if path.is_file() and b"PRIVATE" in path.read_bytes()
    ]


@contextmanager
def _cluster(folder, *options, workers=2, threads=1, scheme="tcp", log=None):
    """A scheduler and workers of their own, as a site would start them; its address."""
    common = ["--no-dashboard", "--host", f"{scheme}://127.0.0.1" if scheme == "tls" else "127.0.0.1", *options]
    output = (folder / "dask.log").open("wb")
    path = f"{environment()['PYTHONPATH']}:{Path(__file__).parent}"  # the tasks of this file
    few = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}  # each costs the start of a worker
    start = partial(start_python, output=output, PYTHONPATH=path, **few)
    file = folder / "scheduler.json"
    module = "distributed.cli.dask_"
    processes = [start(["-m", f"{module}scheduler", "--port", "0", "--scheduler-file", str(file), *common])]
    try:
        worker = ["--nthreads", str(threads), "--scheduler-file", str(file), "--local-directory", str(folder), *common]
        while not file.exists():
            assert processes[0].poll() is None
            time.sleep(0.05)
        processes += [start(["-m", f"{module}worker", *worker]) for _ in range(workers)]
        yield json.loads(file.read_text())["address"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        output.close()


def _write(root):
    """Four cases in folders and files whose names name somebody."""
    rows = ["case_id,image,lung_mask"]
    for index in range(CASES):
        write_series(root / f"Canary{index}", series(chest_hu(seed=index), patient=f"Canary{index}"))
        rows.append(f"c{index},Canary{index},Canary.nrrd")
    write_image(root / "Canary.nrrd", lung_box())
    (root / "cases.csv").write_text("\n".join(rows) + "\n")


def test_a_running_cluster_does_the_work_keeps_our_care_and_goes_on_running(tmp_path, monkeypatch):
    _write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert dcam_dist("ingest", tmp_path / "cases.csv", *SETTINGS, "--out", tmp_path / "a.zarr").returncode == 0
    (tmp_path / "b.private.json").write_bytes((tmp_path / "a.private.json").read_bytes())
    (site := tmp_path / "site").mkdir()
    with _cluster(site) as address:
        out = os.path.relpath(tmp_path / "b.zarr", REPOSITORY)
        result = dcam_dist("ingest", tmp_path / "cases.csv", *SETTINGS, "--out", out, "--scheduler", address)
        assert result.returncode == 0, result.stderr
        assert "without TLS" in result.stderr
        with Client(address, timeout=10, set_as_default=False) as client:
            assert len(client.nthreads()) == 2
    assert tree_hash(tmp_path / "b.zarr") == tree_hash(tmp_path / "a.zarr")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "b.zarr").rglob("*"))
    assert "anary" not in (site / "dask.log").read_text()


def _care(job):
    warnings.warn("Canary", stacklevel=1)
    logging.getLogger("pydicom").warning("Canary")
    import SimpleITK as sitk

    before = os.umask(0o077)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    return QuarantineEntry(
        job, "done", f"{before:o} {threads} {sitk.ProcessObject.GetGlobalWarningDisplay()} {os.getpid()}"
    )


def _care_or_die(marks, job):
    if job == "killer":
        os.kill(os.getpid(), 9)
    return _care(job)


def test_each_task_takes_care_there_too_and_a_killer_takes_only_its_own_case(tmp_path):
    (cohort := tmp_path / "c.zarr").mkdir()
    with _cluster(tmp_path) as address:
        crew_of = partial(running_crew, address, cohort, [tmp_path])
        jobs = ["a", "killer", "b", "c"]
        outcomes = {
            entry.case_id: entry
            for entry in run_cases(partial(_care_or_die, ""), jobs, str, IngestConfig(workers=1), crew_of)
        }
    assert outcomes.keys() == set(jobs)
    killed = outcomes.pop("killer")
    assert killed.reason == "worker_died" and "workers of that cluster" in killed.detail
    assert {entry.detail.rsplit(" ", 1)[0] for entry in outcomes.values()} == {"77 1 False"}
    assert not list(cohort.rglob("token.*"))
    assert "Canary" not in (tmp_path / "dask.log").read_text()


def test_a_cluster_behind_tls_is_reached_with_dasks_own_configuration(tmp_path, monkeypatch):
    (cohort := tmp_path / "c.zarr").mkdir()
    (keys := tmp_path / "keys").mkdir(mode=0o700)
    security = file_security(keys)
    files = security.get_tls_config_for_role("client")
    options = ["--tls-ca-file", files["ca_file"], "--tls-cert", files["cert"], "--tls-key", files["key"]]
    with _cluster(tmp_path, *options, scheme="tls", workers=1) as address:
        assert address.startswith("tls://")
        with pytest.raises(EnvironmentFault, match=r"no Dask scheduler answers.*distributed\.comm\.tls"):
            running_crew(address, cohort, [], 3).__enter__()
        tls = "distributed.comm.tls"
        settings = {f"{tls}.ca-file": files["ca_file"], f"{tls}.client.cert": files["cert"]}
        settings |= {f"{tls}.client.key": files["key"]}
        with dask.config.set(settings), running_crew(address, cohort, [], 3) as crew:
            assert len(crew.client.nthreads()) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"workers": 0}, "has no worker"),
        ({"workers": 1, "threads": 2}, "has 2 threads; start workers with --nthreads 1"),
    ],
)
def test_an_unfit_cluster_is_one_line(tmp_path, options, line):
    (tmp_path / "c.zarr").mkdir()
    with _cluster(tmp_path, **options) as address, pytest.raises(EnvironmentFault, match=line):
        running_crew(address, tmp_path / "c.zarr", [], 3).__enter__()


def test_workers_that_do_not_see_the_cohort_or_the_scans_or_have_another_version_are_named(tmp_path, monkeypatch):
    (cohort := tmp_path / "c.zarr").mkdir()
    host = socket.gethostname()
    with _cluster(tmp_path, workers=1) as address:
        with pytest.raises(EnvironmentFault, match=f"gone: not there on {host}"):
            running_crew(address, cohort, [tmp_path / "gone"], 3).__enter__()
        monkeypatch.setattr("dcam_dist.ingest.crews.running.fault_of_ground", _another_folder)
        with pytest.raises(EnvironmentFault, match=rf"c\.zarr: not the same folder on {host}"):
            running_crew(address, cohort, [], 3).__enter__()
        monkeypatch.setattr("dcam_dist.ingest.crews.running.__version__", "0.0.1")
        with pytest.raises(EnvironmentFault, match=f"worker on {host} has dcam_dist .* instead of 0.0.1"):
            running_crew(address, cohort, [], 3).__enter__()


def _another_folder(ground):
    """As a worker finds it that has a folder of its own under the cohort's name."""
    from dcam_dist.ingest.crews.ground import fault_of_ground

    ground.token.write_text("of another")
    return fault_of_ground(ground)


def _ingest_with(scheduler, folder):
    _write(folder)
    arguments = ["ingest", folder / "cases.csv", *SETTINGS, "--out", folder / "c.zarr", "--scheduler", scheduler]
    return dcam_dist(*arguments, timeout=60)


def test_a_malformed_address_is_one_line_and_exit_code_2(tmp_path):
    result = _ingest_with("nonsense", tmp_path)
    line = "dcam-dist: --scheduler 'nonsense': not an address of a scheduler; write tls://HOST:PORT or tcp://HOST:PORT"
    assert (result.returncode, result.stderr.splitlines()) == (2, [line])


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_an_address_where_nobody_listens_is_one_line_and_exit_code_4(tmp_path, scheme):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}"
        result = _ingest_with(address, tmp_path)
    assert result.returncode == 4
    found, line = result.stderr.splitlines()
    assert found == f"ingest: scans found: {CASES}"
    assert line.startswith(f"dcam-dist: {address}: no Dask scheduler answers")


def test_one_who_listens_and_is_silent_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("dcam_dist.ingest.crews.running.CONNECT_S", 1)
    with socket.socket() as silent, pytest.raises(EnvironmentFault, match="no Dask scheduler answers"):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        running_crew(f"tcp://127.0.0.1:{silent.getsockname()[1]}", tmp_path, [], 3).__enter__()


def test_the_address_of_a_worker_is_one_line(tmp_path, capfd):
    with _cluster(tmp_path, workers=1) as address:
        with Client(address, timeout=10, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=30)
            (worker,) = client.nthreads()
        with pytest.raises(EnvironmentFault, match="no Dask scheduler answers"):
            running_crew(worker, tmp_path, [], 3).__enter__()
    assert "Exception ignored" not in capfd.readouterr().err


def test_workers_here_that_cannot_start_name_the_setting(monkeypatch):
    monkeypatch.setattr("dcam_dist.ingest.crews.crew.PATIENCE_S", 1.0)
    starved = IngestConfig(workers=1).model_copy(update={"memory_limit_gb": 0.01})
    with (
        pytest.raises(EnvironmentFault, match=r"this machine: no worker for 1 s; raise ingest\.memory_limit_gb"),
        local_crew(starved, 3) as crew,
    ):
        for _ in range(600):
            crew.tend()
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "to_all", "code", "line"),
    [
        (signal.SIGINT, True, 130, "interrupted"),  # as a terminal does
        (signal.SIGTERM, False, 75, "stopped on request; run the same command again to go on"),
        (signal.SIGUSR1, False, 75, "stopped on request; run the same command again to go on"),
    ],
)
def test_a_stop_is_one_line_and_leaves_no_process_and_no_scratch(tmp_path, number, to_all, code, line):
    _write(tmp_path)
    (scratch := tmp_path / "tmp").mkdir()
    command = ["-m", "dcam_dist", "ingest", str(tmp_path / "cases.csv"), "grid.shape=[16,16,16]", "ingest.workers=2"]
    with (tmp_path / "said").open("wb") as said:
        ingest = start_python([*command, "--out", str(tmp_path / "c.zarr")], said, TMPDIR=str(scratch))
        while not list(scratch.glob("dcam-ingest.*/*")):
            assert ingest.poll() is None
            time.sleep(0.02)
        family = psutil.Process(ingest.pid).children(recursive=True)
        for process in [*(family if to_all else ()), psutil.Process(ingest.pid)]:
            process.send_signal(number)
        assert ingest.wait(60) == code
    lines = (tmp_path / "said").read_text().splitlines()
    assert lines[-1] == f"dcam-dist: {line}"
    assert all(line.startswith("ingest: ") for line in lines[:-1])
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not list(scratch.glob("dcam-ingest*"))
