"""Images: clean by hadolint and shellcheck, the same by either builder, pinned, and nothing in them of patients."""

import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.image_files import parse_definition, parse_dockerfile, sent
from support.linters import linter, shellcheck, tracked
from support.processes import REPOSITORY

FOLDER = REPOSITORY / "containers"
SETS = ("cuda12", "cuda13")
BASE = re.compile(r"docker\.io/library/python:3\.12\.\d+-slim-bookworm")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
IGNORE = (REPOSITORY / ".dockerignore").read_text()
TRACKED = [str(file) for file in tracked(REPOSITORY)]
CACHES = "/tmp/dcam-dist"  # noqa: S108  # of the image's own /tmp


@pytest.fixture(params=SETS)
def name(request):
    return request.param


@pytest.fixture
def dockerfile(name):
    return parse_dockerfile((FOLDER / f"{name}.Dockerfile").read_text())


@pytest.fixture
def definition(name):
    return parse_definition((FOLDER / f"{name}.def").read_text())


def pins(name):
    lines = (REPOSITORY / "constraints" / f"{name}.txt").read_text().splitlines()
    pinned = (Requirement(line) for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pinned}


# the linters


def test_there_is_one_of_each_for_every_cuda_extra():
    extras = {extra.removeprefix("gpu-cu") for extra in PROJECT["optional-dependencies"] if extra.startswith("gpu-cu")}
    assert {f"cuda{extra}" for extra in extras} == set(SETS)
    there = {file.name for file in FOLDER.iterdir() if file.suffix in {".Dockerfile", ".def"}}
    assert there == {f"{name}{suffix}" for name in SETS for suffix in (".Dockerfile", ".def")}


def test_hadolint_finds_nothing():
    files = [file for file in TRACKED if "dockerfile" in Path(file).name.lower()]
    assert len(files) >= len(SETS)
    assert linter("hadolint", *files, cwd=REPOSITORY) == ""


def test_hadolint_refuses_a_base_that_moves(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp && apt-get install g++\n")
    found = linter("hadolint", "Dockerfile", cwd=tmp_path)
    assert {"DL3007", "DL3008"} <= set(re.findall(r"DL\d+", found))


@pytest.mark.parametrize("section", ["post", "environment", "runscript", "test"])
def test_shellcheck_finds_nothing_in_a_section(definition, section):
    script = "#!/bin/sh\n" + definition.sections[section]
    assert shellcheck("-", stdin=script, cwd=REPOSITORY) == ""


def test_a_definition_has_its_sections(definition):
    assert set(definition.sections) == {"labels", "help", "files", "post", "environment", "runscript", "test"}
    assert definition.header["Bootstrap"] == "docker"
    assert all(definition.lines(section) for section in definition.sections)


# the same by either builder


def test_both_start_from_one_pinned_base(dockerfile, definition):
    base = dockerfile.one("ARG").removeprefix("BASE=")
    assert BASE.fullmatch(base)
    assert dockerfile.one("FROM") == "${BASE}"
    assert definition.header["From"] == base


def test_both_do_the_same_steps(dockerfile, definition):
    own = ("set -eu", "useradd ")  # Docker's shells end at a failure by themselves; Apptainer's user is the host's
    docker = [command for command in dockerfile.commands() if not command.startswith(own)]
    assert docker == [line for line in definition.lines("post") if not line.startswith(own)]
    assert definition.lines("post")[0] == "set -eu"


def test_both_set_the_same_variables(dockerfile, definition):
    docker = dockerfile.pairs("ENV")
    assert docker.pop("HOME") == "/tmp"  # noqa: S108  # Apptainer's is the host's
    assert docker == {name: value.replace("$dcam_caches", CACHES) for name, value in definition.exports().items()}


def test_both_tell_the_same_of_themselves(dockerfile, definition):
    labels = dockerfile.pairs("LABEL")
    assert labels == definition.pairs("labels")
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == PROJECT["version"]
    assert labels[f"{prefix}licenses"] == PROJECT["license"]


def where(pairs):
    """Where in the image each tracked file comes to lie."""
    return {
        file: destination + file.removeprefix(source)
        for source, destination in pairs
        for file in TRACKED
        if sent(IGNORE, file) and (file == source or file.startswith(source + "/"))
    }


def test_both_take_the_same_files(dockerfile, definition):
    docker = where(dockerfile.copies())
    assert docker == where(definition.pairs("files").items())
    assert {"pyproject.toml", "dcam_dist/__main__.py", "configs/paper.yaml"} <= docker.keys()


@pytest.mark.parametrize("suffix", [".Dockerfile", ".def"])
def test_the_two_sets_differ_in_nothing_else(suffix):
    first, second = ((FOLDER / f"{name}{suffix}").read_text() for name in SETS)
    for said in ("cuda", "CUDA ", "gpu-cu"):
        first = first.replace(f"{said}12", f"{said}13")
    assert first == second


# what is installed


def test_pip_is_bound_by_the_set(name, dockerfile):
    (pip,) = (command for command in dockerfile.commands() if "pip install" in command)
    assert f"PIP_CONSTRAINT=/opt/src/{name}.txt " in pip
    assert f"[gpu-cu{name.removeprefix('cuda')},deepspeed,slurm]" in pip
    assert (f"constraints/{name}.txt", f"/opt/src/{name}.txt") in dockerfile.copies()
    renewed_for = (REPOSITORY / "constraints" / f"{name}.txt").read_text().splitlines()[0]
    assert "Python 3.12" in renewed_for  # as BASE is


def test_every_package_asked_for_is_pinned(name):
    pinned = pins(name)
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras[f"gpu-cu{name[4:]}"], *extras["deepspeed"], *extras["slurm"]]
    for requirement in map(Requirement, asked):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_it_runs_as_a_user(dockerfile):
    order = [instruction for instruction, _ in dockerfile.instructions]
    assert order.index("USER") > max(place for place, instruction in enumerate(order) if instruction == "RUN")
    assert int(dockerfile.one("USER").split(":")[0]) > 0
    assert dockerfile.one("ENTRYPOINT") == '["dcam-dist"]'
    assert "HEALTHCHECK" not in order


# nothing of patients


@pytest.mark.parametrize(
    "path",
    [
        "cohort.private.json",
        "cohort.zarr/cases.json",
        "dcam_dist/cohort.private.json",
        "dcam_dist/cohort.zarr/A0001/zarr.json",
        "dcam_dist/ingest/quality/templates/cohort.private.json",
        "dcam_dist/ingest/quality/templates/scan.nii.gz",
        "dcam_dist/scan.dcm",
        "dcam_dist/cases.csv",
        "dcam_dist/__pycache__/types.cpython-312.pyc",
        "configs/our_site.yaml",
        "configs/sites/our_site.yaml",
        "configs/cohort.private.json",
        "constraints/cases.csv",
        "runs/dcam/metrics.jsonl",
        "demo/scans/cases.csv",
        "dicom/P17/0001",
        "cases.csv",
        "script.py",
        ".git/config",
        ".venv/lib/python3.12/site-packages/torch/__init__.py",
        ".netrc",
        "other/dcam_dist/types.py",
        "dcam_distances/types.py",
        "README.md.bak",
        "docs/README.md",
    ],
)
def test_a_file_stays_out(path):
    assert not sent(IGNORE, path)


def test_a_build_gets_the_package_and_what_installs_it_and_no_more():
    gets = {file for file in TRACKED if sent(IGNORE, file)}
    package = {file for file in TRACKED if file.startswith("dcam_dist/")}
    configs = {file for file in TRACKED if re.fullmatch(r"configs/[^/]+", file)}
    sets = {f"constraints/{name}.txt" for name in ("cpu", *SETS)}
    scripts = {file for file in TRACKED if file.startswith("launch_scripts/")}
    assert gets == {"LICENSE", "README.md", "pyproject.toml"} | package | scripts | configs | sets


def test_all_is_left_out_before_anything_is_let_in():
    rules = [line for line in IGNORE.splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert all(rule.startswith("!") for rule in rules[1:])


# Apptainer's environment, in a /tmp that many users share


def caches(definition, temporary, home):
    """Run the section and tell where Triton's cache is then."""
    done = subprocess.run(
        ["sh", "-euc", definition.sections["environment"] + '\nprintf %s "$TRITON_CACHE_DIR"'],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return Path(done.stdout).parent


def test_caches_are_in_one_private_folder_of_the_job(definition, tmp_path):
    folder = caches(definition, tmp_path, "/nonexistent")
    assert folder == tmp_path / f"dcam-dist-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert caches(definition, tmp_path, "/nonexistent") == folder


def others_folder(expected):
    expected.mkdir(mode=0o700)
    os.chown(expected, 12345, 12345)


def open_folder(expected):
    expected.mkdir()
    expected.chmod(0o777)


def link(expected):
    (expected.parent / "elsewhere").mkdir(mode=0o700)
    expected.symlink_to("elsewhere")


@pytest.mark.parametrize("trap", [others_folder, open_folder, link])
def test_a_folder_that_another_user_may_have_laid_is_not_used(definition, tmp_path, trap):
    if trap is others_folder and os.geteuid():
        pytest.skip("only root can make another user's folder")
    expected = tmp_path / f"dcam-dist-{os.getuid()}"
    trap(expected)
    folder = caches(definition, tmp_path, "/nonexistent")
    assert folder not in {expected, tmp_path / "elsewhere"}
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
