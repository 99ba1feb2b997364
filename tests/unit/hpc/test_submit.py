"""Batch scripts: every shipped site and configuration, rendered, parsed and compared with a reviewed file."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.linters import RENDERED, shellcheck
from support.processes import REPOSITORY, dcam_dist, run

from dcam_dist.config import load_config
from dcam_dist.config.site import Site, load_site, seconds_of
from dcam_dist.errors import UsageError
from dcam_dist.hpc.pipeline import StudyRequest, study
from dcam_dist.hpc.script import render

SITES = sorted((REPOSITORY / "configs" / "sites").glob("*.yaml"))
CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
GOLDEN = Path(__file__).parent / "golden"
"""Written anew by ``DCAM_GOLDEN=write pytest tests/unit/hpc``; then read the difference."""
STUDY = ("ingest", "train", "evaluate", "maps", "report")


def dry_run(*arguments, cwd=REPOSITORY):
    command = [sys.executable, "-m", "dcam_dist", "submit", *map(str, arguments), "--dry-run"]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )


def request(config=None, **changes):
    settings = ("data.cohort=/data/cohort.zarr", "output=/data/run")
    return StudyRequest(load_config(config, settings), config, settings, **changes)


def whole_study(config, site):
    ingest = {"scans": (Path("/data/scans.csv"),), "array": 12} if site.scheduler == "slurm" else {}
    return request(config, nodes=2, **ingest)


def kinds(site):
    return STUDY if site.scheduler == "slurm" else ("train",)


@pytest.mark.parametrize("site", SITES, ids=lambda path: path.stem)
def test_the_dry_run_of_each_site_is_the_reviewed_one(site):
    pipeline = ("--pipeline", "--scans", "/data/scans.csv", "--array", 12)
    options = pipeline if load_site(site).scheduler == "slurm" else ()
    words = ("--config", "configs/paper.yaml", "--site", site, "--nodes", 2, *options)
    done = dry_run(*words, "data.cohort=/data/cohort.zarr", "output=/data/run", "training.batch_size=16")
    assert done.returncode == 0, done.stderr
    assert_reviewed(site.stem, done.stdout)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_dry_run_of_each_configuration_without_a_site_is_the_reviewed_one(config):
    done = dry_run("--config", config, "data.cohort=/data/cohort.zarr", "output=/data/run")
    assert done.returncode == 0, done.stderr
    assert_reviewed(f"without_site_{config.stem}", done.stdout)


def test_the_dry_run_of_the_benchmarks_is_the_reviewed_one(tmp_path):
    done = dry_run("--job", "benchmarks", "output=/data/results")
    assert done.returncode == 0, done.stderr
    assert_reviewed("benchmarks", done.stdout)
    (tmp_path / "job.sh").write_text(done.stdout)
    assert shellcheck(RENDERED, tmp_path / "job.sh", cwd=tmp_path) == ""


def assert_reviewed(name, told):
    shown = told.replace(sys.executable, "/PYTHON").replace(str(REPOSITORY), "/CHECKOUT")
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("DCAM_GOLDEN") == "write":
        golden.write_text(shown)
    assert shown == golden.read_text()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("site", [None, *SITES], ids=lambda path: path and path.stem)
def test_every_site_takes_every_configuration_and_the_scripts_are_clean(site, config, tmp_path):
    place = load_site(site)
    jobs = study(whole_study(config, place), place, kinds(place))
    assert [job.name for job in jobs] == (["ingest", "seal", *STUDY[1:]] if place.scheduler == "slurm" else ["train"])
    for job in jobs:
        script = tmp_path / f"{job.name}.sh"
        script.write_text(render(job, place))
    assert shellcheck(RENDERED, *tmp_path.glob("*.sh"), cwd=tmp_path) == ""


def header(job, site):
    return [line for line in render(job, site).splitlines() if line.startswith("#SBATCH")]


def test_what_was_asked_for_goes_before_what_the_site_says():
    (job,) = study(request(nodes=3, gpus=2, time="1-02:03:04"), Site(), ["train"])
    lines = header(job, Site())
    assert {"#SBATCH --nodes=3", "#SBATCH --gpus-per-node=2", "#SBATCH --time=1-02:03:04"} <= set(lines)
    (job,) = study(request(nodes=None), Site(), ["train"])
    assert {"#SBATCH --nodes=1", "#SBATCH --gpus-per-node=1", "#SBATCH --time=24:00:00"} <= set(header(job, Site()))


def test_a_job_of_one_gpu_of_a_node_takes_its_share_of_the_cores():
    site = Site.model_validate({"train": {"gpus": 4, "cores": 48, "memory_gb": 500}})
    train, evaluate = study(request(), site, ["train", "evaluate"])
    assert (train.gpus, train.ranks, train.cores, train.memory_gb) == (4, 4, 48, 500)
    assert (evaluate.gpus, evaluate.cores, evaluate.memory_gb) == (1, 12, 125)


def test_what_the_user_has_typed_comes_after_what_the_site_would_have():
    site = Site.model_validate({"settings": ["data.stage=$TMPDIR", "training.passes=2"]})
    settings = ("data.cohort=/c.zarr", "output=/run", "data.stage=/mine", "training.rank_logs=false")
    (job,) = study(StudyRequest(load_config(None, settings), None, settings), site, ["train"])
    words = load_config(None, job.arguments)
    assert (str(words.data.stage), words.training.passes, words.training.rank_logs) == ("/mine", 2, False)


def test_a_job_that_keeps_nothing_of_its_work_is_not_repeated_for_long():
    train, evaluate = study(request(), Site(), ["train", "evaluate"])
    assert "export DCAM_REQUEUES=20" in render(train, Site())
    assert "export DCAM_REQUEUES=2" in render(evaluate, Site()).splitlines()


def test_a_line_of_the_prologue_that_fails_ends_the_job(tmp_path):
    site = Site.model_validate({"prologue": ["false"]})
    (job,) = study(request(), site, ["evaluate"])
    (tmp_path / "job.sh").write_text(render(job, site))
    done = subprocess.run(["bash", tmp_path / "job.sh"], capture_output=True, check=False)
    assert done.returncode == 4 and b"srun" not in done.stderr


def test_hostile_paths_and_settings_are_words_of_the_shell(tmp_path):
    scan = tmp_path / "a b; touch $(echo x) 'q'.nii"
    settings = ("data.cohort=/data/c o.zarr", "output=/data/run", "data.stage=$TMPDIR")
    given = StudyRequest(load_config(None, settings), None, settings, (scan,))
    jobs = study(given, Site(), ["ingest", "train"])
    for job, word in zip(jobs, (str(scan), "data.stage=$TMPDIR"), strict=True):
        (line,) = (line for line in render(job, Site()).splitlines() if line.startswith("set -- "))
        told = subprocess.run(
            ["bash", "-c", f'{line}\nprintf "%s\\n" "$@"'], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert word in told and told == shlex.split(line)[2:]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("output=RUN",), "not set: data.cohort=COHORT.zarr"),
        (("data.cohort=C.zarr",), "not set: output=RUN"),
        (("data.cohort=C.zarr", "output=RUN", "--job", "ingest"), "an ingest needs --scans"),
        (("data.cohort=C.zarr", "output=RUN", "--time", "00:04:00"), "is over before leave_seconds=300"),
        (("data.cohort=C.zarr", "output=RUN", "--time", "soon"), "--time soon: write HH:MM:SS"),
        (("data.cohort=C.zarr", "output=A RUN"), "schedulers take no path with spaces"),
        (("data.cohort=C.zarr", "output=RUN", "--site", "nosuch.yaml"), "nosuch.yaml: no such configuration file"),
        (("data.cohort=C.zarr", "output=RUN", "training.epoch=3"), "did you mean training.epochs"),
        (("data.cohort=C.zarr", "output=RUN", "--site", "configs/sites/pbs_like.yaml", "--job", "maps"), "by hand"),
        (("data.cohort=C.zarr", "output=RUN", "--hash-ids"), "--hash-ids means nothing to a job of train"),
        (("output=RUN", "--job", "maps", "--nodes", 2), "--nodes means nothing to a job of maps"),
        (("output=RUN", "--job", "evaluate", "--time", "01:00:00"), "--time means nothing"),
        (("data.cohort=C.zarr", "output=RUN", "--array", 3), "--array means nothing to a job of train"),
        (("data.cohort=C.zarr", "output=RUN", "--pipeline", "--job", "train"), "exclude each other"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, line):
    done = dry_run(*arguments)
    assert done.returncode == 2, done.stdout
    (told,) = done.stderr.splitlines()
    assert line in told


@pytest.mark.parametrize(
    ("site", "line"),
    [
        ("trian: {gpus: 2}", "unknown key trian; did you mean train?"),
        ("train: {gpu: 2}", "unknown key train.gpu; did you mean train.gpus?"),
        ("gpu_request: --gres=gpu", "gpu_request: needs {gpus}"),
        ("gpu_request: --gres=gpu:{type}:{gpus}", "gpu_request: needs {gpus}"),
        ("container: apptainer exec --bind '/my data' x.sif", "container: "),
        ("train: {time: 24:00:00}", "train.time"),
        ('partition: "a; rm -rf /"', "unknown key partition"),
        ('train: {partition: "a; rm"}', "train.partition"),
        ('environment: {"A B": x}', "environment"),
        ("hostname_suffix: $(x)", "hostname_suffix"),
    ],
)
def test_a_wrong_site_file_is_one_line(tmp_path, site, line):
    (tmp_path / "site.yaml").write_text(site)
    with pytest.raises(UsageError) as caught:
        load_site(tmp_path / "site.yaml")
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_settings_of_a_site_are_looked_at_before_they_wait_in_the_queue(tmp_path):
    (tmp_path / "site.yaml").write_text("settings: [training.epocs=3]\n")
    done = dry_run("data.cohort=C.zarr", "output=RUN", "--site", tmp_path / "site.yaml")
    assert done.returncode == 2 and "did you mean training.epochs" in done.stderr


@pytest.mark.slow
def test_an_installed_package_has_its_scripts_with_it(tmp_path):
    source = tmp_path / "source"
    for name in ("dcam_dist", "launch_scripts", "pyproject.toml", "README.md", "LICENSE"):
        place = source / name
        place.parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, place)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)], timeout=240)
    (wheel,) = tmp_path.glob("*.whl")
    run(
        [
            *pip,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--ignore-installed",
            "--prefix",
            str(tmp_path / "there"),
            str(wheel),
        ],
        timeout=240,
    )
    (packages,) = (tmp_path / "there").glob("lib/python*/site-packages")
    command = [sys.executable, "-c", "import sys; from dcam_dist.__main__ import main; sys.exit(main())", "submit"]
    done = subprocess.run(
        [*command, "data.cohort=C.zarr", "output=RUN", "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "# ---- launch_scripts/job.sh ----" in done.stdout


def test_without_slurm_it_says_where_to_go(tmp_path):
    from support.cohorts import make_cohort

    cohort = make_cohort(tmp_path / "c.zarr", 3)
    words = ["submit", f"data.cohort={cohort}", f"output={tmp_path / 'run'}"]
    command = [sys.executable, "-m", "dcam_dist", *words]
    done = run(command, timeout=60, PATH=str(tmp_path))
    assert done.returncode == 4 and "sbatch is not on this machine" in done.stderr
    done = dcam_dist(*words, "--site", "configs/sites/pbs_like.yaml")
    assert done.returncode == 2 and "--dry-run shows the script" in done.stderr
    assert not (tmp_path / "run").exists()


def test_sources_that_are_not_there_do_not_wait_in_the_queue(tmp_path):
    words = (f"data.cohort={tmp_path / 'c.zarr'}", f"output={tmp_path / 'run'}")
    done = dcam_dist("submit", *words)
    assert done.returncode == 2 and "no cohort here" in done.stderr
    done = dcam_dist("submit", *words, "--pipeline", "--scans", tmp_path / "nosuch.csv")
    assert done.returncode == 2 and "nosuch.csv: no such file or folder" in done.stderr


def test_what_ingest_is_to_do_besides_is_handed_on():
    ingest, seal = study(request(scans=(Path("s.csv"),), array=3, ingest_options=("--hash-ids",)), Site(), ["ingest"])
    assert "--hash-ids" in ingest.arguments and ingest.arguments == seal.arguments
    assert (ingest.environment, seal.environment) == ({"DCAM_PARTS": "3"}, {})


def test_times():
    assert seconds_of("01:02:03") == 3723
    assert seconds_of("2-00:00:01") == 172801
