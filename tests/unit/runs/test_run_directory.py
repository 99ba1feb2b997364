"""Opening a run's directory: go on by default, refuse other settings key by key, move a run aside only when asked."""

import json
import os
from dataclasses import replace

import pytest

from benchmarks.saved_states import state_of
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.runs import changes, first_start, open_run_directory, read_run_config, run_lock, write_checkpoint
from dcam_dist.runs.changes import differences
from dcam_dist.runs.jobs import JobRecord, read_jobs, write_job
from dcam_dist.types import Phase, Position


def config(run, *settings):
    return load_config(None, [f"output={run}", *settings])


@pytest.fixture
def run(tmp_path):
    return open_run_directory(config(tmp_path / "run", "training.epochs=6"))


def history(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def refusal(run, *settings, **options):
    with pytest.raises(UsageError) as refused:
        open_run_directory(config(run, *settings), **options)
    return str(refused.value)


def test_a_new_one_holds_its_resolved_configuration_and_is_gone_on_in(run):
    assert [path.name for path in run.iterdir()] == ["config.yaml"]
    assert read_run_config(run) == config(run, "training.epochs=6")
    before = (run / "config.yaml").read_bytes()
    assert open_run_directory(config(run, "training.epochs=6")) == run
    assert (run / "config.yaml").read_bytes() == before and not (run / "history.jsonl").exists()


def test_what_a_killed_first_start_left_is_no_obstacle(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "lock").touch()
    (run / ".config.yaml").write_text("half of")
    assert read_run_config(open_run_directory(config(run))).output == run


def test_what_was_submitted_for_a_run_is_no_obstacle_to_its_first_start(tmp_path):
    run = tmp_path / "run"
    write_job(run, JobRecord("7", "train", "train.sh", "7.log", (), 1.0))
    (run / "jobs" / "7.log").write_text("starting")
    (run / "stop").touch()
    before = tree(run / "jobs")
    with run_lock(run):
        assert read_run_config(open_run_directory(config(run), fresh=True)).output == run
    assert tree(run / "jobs") == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_fresh_start_leaves_the_jobs_in_their_place_and_their_logs_open(run):
    write_job(run, JobRecord("7", "train", "train.sh", "7.log", (), 1.0))
    with (run / "jobs" / "7.log").open("a") as log, run_lock(run):
        open_run_directory(config(run, "clustering.clusters=4"), fresh=True)
        log.write("after")
    assert (run / "jobs" / "7.log").read_text() == "after"
    assert [state.job.job_id for state in read_jobs(run)] == ["7"]
    assert not (run.with_name("run.old-1") / "jobs").exists()


def test_no_output_and_foreign_folders_are_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    for fresh in (False, True):
        assert "exists and holds no run" in refusal(tmp_path, fresh=fresh)
        assert "exists and holds no run" in refusal(tmp_path / "thesis.docx", fresh=fresh)
    assert "output: not set" in refusal("null")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_every_difference_is_shown_by_key_with_both_values_and_the_way_on(run):
    said = refusal(run, "training.epochs=12", "training.optimizer.lr=0.1", "data.patch=[16,16,16]")
    assert "training.epochs: 6 → 12" in said and "training.optimizer.lr: 0.05 → 0.1" in said
    assert "data.patch: null → [16, 16, 16]" in said
    assert "--change data.patch --change training.epochs --change training.optimizer.lr" in said
    assert read_run_config(run).training.epochs == 6


FREE = (
    "data.cohort=/elsewhere",
    "data.prefetch=9",
    "data.threads=1",
    "data.stage=/tmp",
    "evaluation.bootstrap=7",
    "maps.typical_cases=1",
    "ingest.workers=3",
    "network.checkpointing=block",
    "training.timeout_s=5",
    "training.keep_checkpoints=7",
    "training.checkpoint_minutes=1",
    "training.max_minutes=9",
    "training.rank_logs=true",
    "training.mlflow=/tmp/m",
)


@pytest.mark.parametrize("setting", FREE)
def test_what_does_not_touch_the_weights_may_differ(run, setting):
    changed = config(run, "training.epochs=6", setting)
    for _ in range(2):
        open_run_directory(changed)
        assert read_run_config(run) == changed  # which evaluation and maps go by
    [line] = history(run)
    assert list(line["changed"]) == [setting.partition("=")[0]]


FIXED = (
    "seed=1",
    "method=baseline",
    "grid.shape=[64,64,64]",
    "labels.names=[none,some]",
    "network.filters=8",
    "network.baseline_filters=8",
    "network.norm=instance",
    "clustering.clusters=4",
    "training.optimizer.name=adam",
    "supervised.validation_fraction=0.2",
)


@pytest.mark.parametrize("setting", FIXED)
def test_what_cannot_change_in_a_run_is_refused_even_by_name_and_says_why(run, setting):
    key = setting.partition("=")[0]
    said = refusal(run, "training.epochs=6", setting, changes=[key])
    assert f"{key} cannot change in a run: " in said and f"{key}: " in said.partition("(")[2]


NAMED = (
    "data.window_hu=[-1000,0]",
    "network.precision=bf16",
    "network.compile=true",
    "clustering.pca_components=2",
    "training.batch_size=8",
    "training.accumulation=2",
    "training.engine=deepspeed",
    "training.optimizer.schedule=cosine",
)


@pytest.mark.parametrize("setting", NAMED)
def test_everything_else_changes_by_name_and_by_name_alone(run, setting):
    key = setting.partition("=")[0]
    assert f"--change {key}" in refusal(run, "training.epochs=6", setting, changes=["training.epochs"])
    changed = config(run, "training.epochs=6", setting)
    open_run_directory(changed, changes=[key])
    assert read_run_config(run) == changed
    open_run_directory(changed, changes=[key])  # the same command again, as a scheduler gives it
    assert len(history(run)) == 1


def test_every_setting_of_a_run_can_be_compared(run):
    """A setting that is neither free nor fixed is one that must be named: this list is the one to extend on purpose."""
    compared = {key for key, _ in changes.leaves(config(run).model_dump(mode="json", exclude=changes._MAY_DIFFER))}
    by_name = {key for key in compared if not any(key == k or key.startswith(f"{k}.") for k in changes._NEVER)}
    by_section = {
        "data": "window_hu patch",
        "network": "norm_momentum precision compile",
        "clustering": "backend pca_components whiten l2_normalize init iterations restarts",
        "training": "epochs batch_size accumulation passes balance last_relu clip_norm skipped_steps engine",
        "training.optimizer": "lr head_lr momentum weight_decay schedule warmup_epochs",
        "supervised": "class_weights patience",
    }
    assert by_name == {f"{section}.{name}" for section, names in by_section.items() for name in names.split()}


def test_a_change_is_written_down_with_the_position_and_the_versions(run):
    write_checkpoint(run, replace(state_of(0), position=Position(3, Phase.TRAIN, 7)), keep=1)
    for epochs in (12, 24):
        open_run_directory(config(run, f"training.epochs={epochs}"), changes=["training.epochs"])
    first, second = history(run)
    assert first["changed"] == {"training.epochs": {"old": 6, "new": 12}}
    assert first["position"] == {"epoch": 3, "phase": "train", "step": 7}
    assert {"dcam-dist", "torch", "numpy"} <= first["versions"].keys()
    assert second["changed"] == {"training.epochs": {"old": 12, "new": 24}}


def test_fewer_epochs_than_were_done_are_refused(run):
    write_checkpoint(run, replace(state_of(0), position=Position(4, Phase.RESET)), keep=1)
    assert "has begun 5 epochs" in refusal(run, "training.epochs=4", changes=["training.epochs"])
    write_checkpoint(run, replace(state_of(0), position=Position(4, Phase.TRAIN, 3)), keep=1)
    assert "has begun 5 epochs" in refusal(run, "training.epochs=4", changes=["training.epochs"])
    open_run_directory(config(run, "training.epochs=5"), changes=["training.epochs"])


def test_nothing_is_changed_where_no_checkpoint_verifies(run):
    folder = write_checkpoint(run, state_of(0), keep=1)
    (folder / "state.json").unlink()
    with pytest.raises(DataError, match="no checkpoint left"):
        open_run_directory(config(run, "training.epochs=9"), changes=["training.epochs"])
    assert read_run_config(run).training.epochs == 6 and not (run / "history.jsonl").exists()


@pytest.mark.parametrize("key", ["training.epoch", "training", "epochs", ""])
def test_a_change_of_what_is_no_setting_is_refused(run, key):
    assert "no such setting" in refusal(run, "training.epochs=6", changes=[key])


def test_a_fresh_start_moves_the_old_run_aside_whole(run):
    write_checkpoint(run, state_of(0), keep=1)
    (run / "metrics.jsonl").write_text("{}")
    before = tree(run)
    for number in (1, 2):
        with run_lock(run):
            assert open_run_directory(config(run, "clustering.clusters=4"), fresh=True) == run
            assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "lock"]
            with pytest.raises(EnvironmentFault, match="another training"), run_lock(run):
                pass
        assert sorted(path.name for path in run.parent.iterdir()) == [
            "run",
            *(f"run.old-{aside}" for aside in range(1, number + 1)),
        ]
    assert tree(run.with_name("run.old-1")) == before
    assert read_run_config(run).clustering.clusters == 4


def test_a_fresh_start_in_a_new_place_is_a_start(tmp_path):
    assert open_run_directory(config(tmp_path / "run"), fresh=True).is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_fresh_start_through_a_link_leaves_the_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    open_run_directory(config(tmp_path / "link"), fresh=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "run.old-1").is_dir()


@pytest.mark.parametrize("variable", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_a_restart_is_no_first_start(monkeypatch, variable):
    monkeypatch.setenv(variable, "0")
    assert first_start()
    monkeypatch.setenv(variable, "1")
    assert not first_start()


def test_a_read_only_directory_is_told_at_the_start(run, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "run")
    with pytest.raises(EnvironmentFault, match="is read-only"):
        open_run_directory(config(run, "training.epochs=6"))


def test_no_difference_is_no_difference(run):
    assert differences(config(run), config(run)) == {}


def tree(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
