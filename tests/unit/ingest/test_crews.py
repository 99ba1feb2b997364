"""The parts of a crew that need no cluster: site files, private folders, versions, patience."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dcam_dist.config.site import load_site
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.crews import slurm_jobs
from dcam_dist.ingest.crews.choice import choose_crew
from dcam_dist.ingest.crews.crew import PATIENCE_S, watch
from dcam_dist.ingest.crews.folders import passing_folder, private_folder
from dcam_dist.ingest.crews.ground import fault_of_ground, marked_ground
from dcam_dist.ingest.crews.running import difference, versions_here
from dcam_dist.ingest.crews.slurm import job_options, slurm_crew
from dcam_dist.ingest.crews.tls import file_security

EXAMPLE = Path(__file__).parents[3] / "configs" / "sites" / "generic.yaml"
SITE = {"jobs": "2", "interface": "lo", "logs": "/tmp/logs"}  # noqa: S108


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def _site_file(folder, **changes):
    path = folder / "site.yaml"
    keys = {**SITE, **changes}
    lines = [f"  {key}: {value}\n" for key, value in keys.items() if value is not None]
    path.write_text("workers:\n" + "".join(lines))
    return path


def test_the_shipped_example_is_a_site_file_and_becomes_a_job_of_one_core():
    site = load_site(EXAMPLE)
    options = job_options(site)
    assert (options["cores"], options["processes"], options["memory"]) == (1, 1, "4.0GB")
    assert options["job_script_prologue"][0] == "umask 077"
    assert "export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL='False'" in options["job_script_prologue"]
    assert {"--no-dashboard", "--preload"} <= set(options["worker_extra_args"])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"job": "3"}, r"site\.yaml: unknown key workers.job; did you mean workers.jobs\?"),
        ({"interface": None, "interfac": "lo"}, r"unknown key workers.interfac; did you mean workers.interface\?"),
        ({"jobs": "0"}, "jobs: .*greater than 0"),
        ({"interface": None}, "interface: Field required"),
        ({"time": "soon"}, "time: "),
        ({"logs": "relative"}, "logs is an absolute path"),
        ({"logs": "'/a folder'"}, "without spaces"),
        ({"partition": "'cpu; rm'"}, "partition: "),
        ({"directives": '["a\\nb"]'}, "directives"),
        ({"memory_gb": "0.1"}, "memory_gb: "),
    ],
)
def test_a_wrong_site_file_is_one_line(tmp_path, changes, line):
    with pytest.raises(UsageError, match=line) as caught:
        load_site(_site_file(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_site_file_without_workers_is_refused_by_an_ingest_that_wants_some(tmp_path):
    (tmp_path / "site.yaml").write_text("account: me\n")
    with pytest.raises(UsageError, match="workers: the site file has no such section"):
        choose_crew(None, tmp_path / "site.yaml", tmp_path, [])


def test_the_choice_of_a_crew(tmp_path, monkeypatch):
    assert choose_crew(None, None, tmp_path, []) is None
    with pytest.raises(UsageError, match="exclude each other"):
        choose_crew("tcp://127.0.0.1:1", tmp_path / "site.yaml", tmp_path, [])
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(EnvironmentFault, match=r"dcam-dist\[slurm\]"):
        choose_crew(None, _site_file(tmp_path), tmp_path, [])


def test_slurm_without_slurm_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", SimpleNamespace())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="sbatch, which is not on this machine"):
        choose_crew(None, _site_file(tmp_path), tmp_path, [])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "host:8786",
        "http://host:8786",
        "tcp://host",
        "tls://:8786",
        "tcp://host:x",
        "tcp://host:0",
        "tcp://host:65536",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_done(tmp_path, address):
    with pytest.raises(UsageError, match=r"--scheduler .*write tls://HOST:PORT"):
        choose_crew(address, None, tmp_path, [])


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tls://[::1]:8786"])
def test_a_well_formed_address_is_taken(tmp_path, address):
    assert choose_crew(address, None, tmp_path, []) is not None


def test_slurm_is_checked_before_a_folder_is_made(tmp_path):
    site = load_site(_site_file(tmp_path, interface="nosuch0", logs=tmp_path / "logs"))
    with pytest.raises(EnvironmentFault, match="interface nosuch0"), slurm_crew(site, tmp_path, [], 3):
        pass
    assert not (tmp_path / "logs").exists()


def test_the_folder_of_keys_is_private_goes_away_and_takes_those_of_dead_runs_with_it(tmp_path):
    logs = tmp_path / "logs"
    private_folder(logs)
    assert logs.stat().st_mode & 0o777 == 0o700
    host = os.uname().nodename
    dead, other, living = (logs / f"keys.{name}.x" for name in (f"{host}.4194305", "elsewhere.1", f"{host}.1"))
    for left in (dead, other, living):
        left.mkdir()
    with passing_folder(logs, "keys") as keys:
        assert not dead.exists() and other.exists() and living.exists()
        security = file_security(keys)
        assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}
        assert keys.stat().st_mode & 0o077 == 0 and str(keys) in security.tls_worker_key
    assert not keys.exists()
    logs.chmod(0o750)
    with pytest.raises(UsageError, match="chmod 700"):
        private_folder(logs)


def test_versions_that_differ_are_named_and_others_are_not():
    here = versions_here()
    assert {"host", "python", "dcam_dist", "distributed", "SimpleITK"} <= here.keys()
    assert difference("tcp://a", here, {**here, "host": "elsewhere"}, "the scheduler") is None
    assert difference("tcp://a", here, {"python": here["python"]}, "the scheduler") is None
    line = difference("tcp://a", here, {**here, "numpy": "1.0"}, "the worker on h")
    assert line is not None and line.startswith("tcp://a: the worker on h has numpy 1.0 instead of ")


def test_a_crew_without_workers_is_given_up_only_after_a_while():
    clock, workers = Clock(), {}
    tend = watch(SimpleNamespace(nthreads=lambda: workers), "the cluster", "start some", clock)
    tend()
    clock.now = PATIENCE_S - 1
    tend()
    workers["tcp://worker"] = 1
    tend()
    workers.clear()
    clock.now = 2 * PATIENCE_S
    tend()
    clock.now = 3 * PATIENCE_S + 1
    with pytest.raises(EnvironmentFault, match=r"the cluster: no worker for 60 s; start some, then run again"):
        tend()


def test_a_scheduler_that_is_gone_is_one_line():
    def lost():
        raise OSError("closed\nfor ever")

    with pytest.raises(EnvironmentFault, match=r"the scheduler is lost \(OSError\); run again to go on$"):
        watch(SimpleNamespace(nthreads=lost), "the cluster", "start some")()


@pytest.mark.parametrize(("queued", "ends"), [(True, False), (False, True)])
def test_jobs_that_wait_in_the_queue_are_waited_for(tmp_path, monkeypatch, queued, ends):
    monkeypatch.setattr(slurm_jobs, "in_queue", lambda _: queued)
    clock, scaled = Clock(), set[int]()
    cluster = SimpleNamespace(workers={"w": SimpleNamespace(job_id="7")}, scale=lambda jobs: scaled.update({jobs}))
    tend = slurm_jobs.tend_jobs(cluster, SimpleNamespace(nthreads=dict), 3, tmp_path, clock)
    try:
        for _ in range(100):
            clock.now += 20
            tend()
    except EnvironmentFault as fault:
        assert ends and "left no worker" in str(fault)
    else:
        assert not ends
    assert scaled == {3}


def test_jobs_are_not_replaced_without_end(tmp_path, monkeypatch):
    clock, workers = Clock(), {}
    cluster = SimpleNamespace(workers=workers, scale=lambda jobs: None)
    tend = slurm_jobs.tend_jobs(cluster, SimpleNamespace(nthreads=lambda: {"w": 1}), 1, tmp_path, clock)
    with pytest.raises(EnvironmentFault, match="21 Slurm jobs ended before all cases were done"):
        for number in range(1000):
            workers["w"] = SimpleNamespace(job_id=str(number))
            tend()


def test_common_ground_is_more_than_a_folder_of_the_same_name(tmp_path):
    (cohort := tmp_path / "c.zarr").mkdir()
    with marked_ground(cohort, [tmp_path]) as ground:
        assert fault_of_ground(ground) is None
        ground.token.write_text("another")
        assert "c.zarr: not the same folder on " in fault_of_ground(ground)
        ground.token.unlink()
        assert "c.zarr: not the same folder on " in fault_of_ground(ground)
    assert not list(cohort.rglob("token.*"))
