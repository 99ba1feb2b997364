"""Records of submitted jobs, and what their scripts noted: states from whole, cut and damaged lines."""

import json
import stat
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.runs.jobs import JobRecord, TaskState, read_jobs, task_state, write_job

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()


def record(job_id="7", **changes):
    given = {"name": "train", "script": "train.sh", "log": "7.log", "after": (), "submitted_s": 5.0, **changes}
    return JobRecord(job_id=job_id, **given)


def at(minute, words):
    return f"2026-11-27T12:{minute:02d}:00Z {words}\n"


def test_a_record_is_read_back_and_private(tmp_path):
    job = record(after=("5", "6"), tasks=3)
    path = write_job(tmp_path / "run", job)
    assert path == tmp_path / "run" / "jobs" / "7.json"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]
    assert [one.name for one in path.parent.iterdir()] == ["7.json"]
    assert [state.job for state in read_jobs(tmp_path / "run")] == [job]


def test_jobs_come_in_the_order_of_their_submission(tmp_path):
    for job_id, when in (("9", 3.0), ("10", 1.0), ("8", 2.0)):
        write_job(tmp_path, record(job_id, submitted_s=when))
    assert [state.job.job_id for state in read_jobs(tmp_path)] == ["10", "8", "9"]
    assert read_jobs(tmp_path / "none") == ()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"job_id": "8"}', json.dumps({**vars(record("7"))}), '{"tasks": -1}', "[" * 100_000],
    ids=["empty", "cut", "list", "incomplete", "of another job", "negative", "deep"],
)
def test_a_damaged_record_is_left_out(tmp_path, content):
    write_job(tmp_path, record("7"))
    (tmp_path / "jobs" / "8.json").write_text(content)
    (tmp_path / "jobs" / "9.json").mkdir()
    assert [state.job.job_id for state in read_jobs(tmp_path)] == ["7"]


@pytest.mark.parametrize("job_id", ["", "../8", "a/b", "7_1", ".7", "7\n"])
def test_what_cannot_be_a_files_name_is_no_id(tmp_path, job_id):
    with pytest.raises(UsageError, match="no id of a job"):
        write_job(tmp_path, record(job_id))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(EnvironmentFault, match=r"7\.json: cannot be written \(File exists\)"):
        write_job(tmp_path / "run", record())


STORY = (
    ("", TaskState()),
    (at(1, "started host=n1 restart=0"), TaskState("running", NOON + 60, "n1", 0)),
    (at(2, "requeued exit=75 restart=1"), TaskState("waiting", NOON + 120, "n1", 1)),
    (at(3, "started host=n2 restart=1"), TaskState("running", NOON + 180, "n2", 1)),
    (at(4, "requeued exit=75"), TaskState("waiting", NOON + 240, "n2", 2)),
    (at(5, "started host=n2 restart=2"), TaskState("running", NOON + 300, "n2", 2)),
    (at(6, "ended exit=0"), TaskState("done", NOON + 360, "n2", 2, 0)),
)


@pytest.mark.parametrize("lines", range(1, len(STORY) + 1))
def test_a_job_stands_where_its_last_note_says(lines):
    assert task_state("".join(line for line, _ in STORY[:lines])) == STORY[lines - 1][1]


def test_a_job_that_ended_with_an_error_has_failed():
    assert task_state(at(1, "started host=n1 restart=0") + at(2, "ended exit=137")).exit_code == 137
    assert task_state(at(2, "ended exit=3")) == TaskState("failed", NOON + 120, None, 0, 3)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-27T12:09:00Z ended exi",
        "2026-11-27T12:09:00Z ended exit=",
        "2026-11-27T12:09:00Z ended exit=-1",
        "2026-11-27T12:09:00Z ended",
        "2026-99-99T12:09:00Z ended exit=0",
        "12:09 ended exit=0",
        "2026-11-27T12:09:00Z star",
        "2026-11-27T12:09:00Z started host=n22026-11-27T12:10:00Z ended exit=0",
        "\x00\x00\x00",
    ],
)
def test_a_cut_or_damaged_line_says_nothing(line):
    before = at(1, "started host=n1 restart=0")
    assert task_state(f"{before}{line}\n") == task_state(before) == task_state(f"{line}\n{before}")


@given(st.text() | st.lists(st.sampled_from([line for line, _ in STORY])).map("".join))
def test_whatever_a_file_holds_it_gives_a_state(text):
    state = task_state(text)
    assert state.state in ("waiting", "running", "done", "failed") and state.restarts >= 0
    assert (state.exit_code is None) == (state.state in ("waiting", "running"))
    assert (state.state == "waiting" and not state.restarts) or state.since_s is not None


@given(data=st.data(), noise=st.text(alphabet=st.characters(exclude_characters="\n\r"), max_size=30))
def test_noise_between_lines_and_a_cut_end_change_nothing(data, noise):
    """A file that was cut anywhere says what its whole lines say."""
    whole = data.draw(st.lists(st.sampled_from([line for line, _ in STORY if line]), max_size=8))
    text = "".join(whole)
    assert task_state("\n".join([noise.strip("0123456789"), text])) == task_state(text)
    cut = data.draw(st.integers(0, len(text)))
    assert task_state(text[:cut]) == task_state("".join(whole[: text[:cut].count("\n")]))


def array(tmp_path, tasks, **events):
    write_job(tmp_path, record("7", tasks=tasks))
    for task, text in events.items():
        (tmp_path / "jobs" / f"7_{task.removeprefix('t')}.events").write_text(text)
    [state] = read_jobs(tmp_path)
    return state


RUNS, ENDS, FAILS = at(1, "started host=n1 restart=0"), at(2, "ended exit=0"), at(3, "ended exit=3")


@pytest.mark.parametrize(
    ("events", "state", "counts"),
    [
        ({}, "waiting", {"waiting": 3}),
        ({"t0": RUNS}, "running", {"running": 1, "waiting": 2}),
        ({"t0": RUNS + ENDS}, "running", {"done": 1, "waiting": 2}),
        ({"t0": RUNS + ENDS, "t1": FAILS, "t2": RUNS}, "running", {"done": 1, "failed": 1, "running": 1}),
        ({"t0": RUNS + ENDS, "t1": FAILS, "t2": ENDS}, "failed", {"done": 2, "failed": 1}),
        ({"t0": ENDS, "t1": ENDS, "t2": ENDS}, "done", {"done": 3}),
    ],
)
def test_an_array_is_counted_and_stands_as_a_whole(tmp_path, events, state, counts):
    found = array(tmp_path, 3, **events)
    assert (found.now.state, found.counts) == (state, counts)
    assert found.now.exit_code == {"failed": 3, "done": 0}.get(state)


def test_an_array_of_a_damaged_record_takes_no_memory(tmp_path):
    assert array(tmp_path, 10**15).counts == {"waiting": 10**15}
