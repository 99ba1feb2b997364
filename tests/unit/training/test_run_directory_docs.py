"""docs/run_directory.md says what is in a run, field by field."""

import json
import re
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs" / "run_directory.md").read_text(encoding="utf-8")


def names(table):
    """What stands in backticks in the first column of a table."""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_field_of_the_metrics_is_explained_and_no_other(dcam_run):
    explained = names(PAGE.split("## metrics.jsonl")[1].split("## On the console")[0])
    lines = [json.loads(line) for line in (dcam_run / "metrics.jsonl").read_text().splitlines()]
    assert lines
    for line in lines:
        missing = explained - line.keys()
        assert line.keys() <= explained
        assert all(name.startswith("validation_") for name in missing), missing


def test_every_file_of_a_run_is_listed(dcam_run):
    listed = {name.split("/")[0] for name in names(PAGE.split("## metrics.jsonl")[0])}
    assert {path.name for path in dcam_run.iterdir()} <= listed
