"""docs/run_directory.md says what is in a run, field by field."""

import json
import re
from dataclasses import fields
from pathlib import Path

from dcam_dist.runs.jobs import task_state
from dcam_dist.runs.live import Live

PAGE = (Path(__file__).parents[3] / "docs" / "run_directory.md").read_text(encoding="utf-8")


def names(table):
    """What stands in backticks in the first column of a table."""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_field_of_the_metrics_is_explained_and_no_other(dcam_run):
    explained = names(PAGE.split("## metrics.jsonl")[1].split("## progress.json")[0])
    lines = [json.loads(line) for line in (dcam_run / "metrics.jsonl").read_text().splitlines()]
    assert lines
    for line in lines:
        missing = explained - line.keys()
        assert line.keys() <= explained
        assert all(name.startswith("validation_") for name in missing), missing


def test_every_field_of_the_live_file_is_explained_and_no_other():
    explained = names(PAGE.split("## progress.json and jobs/")[1].split("## On the console")[0])
    assert explained == {field.name for field in fields(Live)}


def test_the_notes_of_a_job_that_the_page_shows_are_understood():
    lines = PAGE.split("```text\n")[1].split("```")[0].splitlines(keepends=True)
    said = [task_state("".join(lines[: count + 1])) for count in range(len(lines))]
    assert [(state.state, state.restarts) for state in said] == [
        ("running", 0),
        ("waiting", 1),
        ("running", 1),
        ("done", 1),
    ]


def test_every_file_of_a_run_is_listed(dcam_run):
    listed = {name.split("/")[0] for name in names(PAGE.split("## metrics.jsonl")[0])}
    assert {path.name for path in dcam_run.iterdir()} <= listed
