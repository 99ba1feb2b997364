"""Every shell script that git tracks parses and is clean by shellcheck; found by its name or by its first line."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.linters import shellcheck, tracked
from support.processes import REPOSITORY

SHELL = re.compile(rb"#!\s*\S*(/|/env\s+(-\S+\s+)*)(ba|da|k)?sh\b")


def shell_scripts(repository: Path) -> list[str]:
    return [
        str(file)
        for file in tracked(repository)
        if file.suffix in {".sh", ".bash"}
        or (file.suffix != ".txt" and SHELL.match((repository / file).read_bytes()[:128]))
    ]


SCRIPTS = shell_scripts(REPOSITORY)


@pytest.mark.parametrize("script", SCRIPTS)
def test_parses(script):
    done = subprocess.run(["bash", "-n", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing():
    assert shellcheck(*SCRIPTS, cwd=REPOSITORY) == ""


@pytest.fixture
def repository(tmp_path):
    """One of scripts that are found by different means, and of files that are no scripts."""
    (tmp_path / "by_name.sh").write_text("echo\n")
    (tmp_path / "by_bash").write_text("#!/usr/bin/env bash\necho\n")
    (tmp_path / "by_flags").write_text("#!/usr/bin/env -S bash -e\necho\n")
    (tmp_path / "by_sh").write_text("#!/bin/sh -e\necho\n")
    (tmp_path / "python").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "words").write_text("bash and sh\n#!/bin/sh\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "untracked.sh").write_text("echo\n")
    return tmp_path


def test_scripts_are_found_by_name_and_by_first_line(repository):
    assert shell_scripts(repository) == ["by_bash", "by_flags", "by_name.sh", "by_sh"]


def test_those_of_this_project_are_found():
    assert {".ci/run", "launch_scripts/setup.sh", "benchmarks/gpu.sh", "tests/slurm/up.sh"} <= set(SCRIPTS)


@pytest.mark.parametrize(
    ("line", "code"),
    [("cd nowhere", "SC2164"), ("echo $1", "SC2086"), ("echo `date`", "SC2006"), ("source ./absent.sh", "SC1091")],
)
def test_a_flaw_of_any_severity_is_refused(tmp_path, line, code):
    shutil.copy(REPOSITORY / ".shellcheckrc", tmp_path)
    (tmp_path / "flawed.sh").write_text(f"#!/usr/bin/env bash\n{line}\n")
    assert code in shellcheck("flawed.sh", cwd=tmp_path)
