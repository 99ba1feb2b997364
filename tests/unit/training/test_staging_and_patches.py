import json
import shutil

import numpy as np
import pytest
from support.cohorts import damage_case, make_cohort, settings

from dcam_dist.config import load_config
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.runs import latest_checkpoint, read_set_aside
from dcam_dist.training import dry_run, train
from dcam_dist.training.epoch_metrics import console_line

PATCH = [16, 16, 16]


def config(cohort, run, **overrides):
    return load_config(None, settings(cohort, output=run, training__epochs=1, **overrides))


def weights(run):
    return {name: value.numpy() for name, value in latest_checkpoint(run).engine.items()}


def test_a_staged_run_reads_from_the_copy_and_is_the_same_to_the_last_bit(tmp_path, small_cohort):
    runs = tmp_path / "plain", tmp_path / "staged"
    train(config(small_cohort, runs[0]))
    train(config(small_cohort, runs[1], data__stage=tmp_path / "fast"))
    one, other = map(weights, runs)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    (copy,) = (tmp_path / "fast").iterdir()
    assert len(list((copy / "cases").iterdir())) == 9


def test_training_reads_the_copy_alone_once_it_is_there(tmp_path):
    cohort = make_cohort(tmp_path / "c.zarr", 9)
    train(config(cohort, tmp_path / "first", data__stage=tmp_path / "fast"))
    for volume in (cohort / "cases").glob("case*/1/c"):
        shutil.rmtree(volume)
    train(config(cohort, tmp_path / "second", data__stage=tmp_path / "fast"))
    assert read_set_aside(tmp_path / "second") == ()


def test_staging_may_change_between_two_starts_of_a_run(tmp_path, small_cohort):
    train(config(small_cohort, tmp_path / "r", data__stage=tmp_path / "fast"))
    train(config(small_cohort, tmp_path / "r"))


def test_a_case_that_cannot_be_staged_is_set_aside_under_its_own_reason(tmp_path):
    cohort = make_cohort(tmp_path / "c.zarr", 13)
    damage_case(cohort, "case003", "flip")
    train(config(cohort, tmp_path / "r", data__stage=tmp_path / "fast"))
    (listed,) = read_set_aside(tmp_path / "r")
    assert (listed.case_id, listed.phase) == ("case003", "stage")
    assert "SHA-256" in listed.reason


def test_a_full_disk_is_told_before_anything_is_copied(tmp_path, small_cohort, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(EnvironmentFault, match="staging needs"):
        train(config(small_cohort, tmp_path / "r", data__stage=tmp_path / "fast"))


def test_training_on_patches_depends_on_no_thread(tmp_path, small_cohort):
    runs = [tmp_path / name for name in ("one", "two", "whole")]
    train(config(small_cohort, runs[0], data__patch=PATCH, data__prefetch=1, data__threads=1))
    train(config(small_cohort, runs[1], data__patch=PATCH, data__prefetch=6, data__threads=4))
    train(config(small_cohort, runs[2]))
    one, two, whole = map(weights, runs)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert any((one[name] != whole[name]).any() for name in one)
    assert dry_run(config(small_cohort, tmp_path / "r", data__patch=PATCH)).volume_shape == (4, 1, *PATCH)


def test_every_draw_of_every_epoch_has_a_patch_of_its_own(small_cohort):
    from dcam_dist.distributed import open_processes
    from dcam_dist.training.job import prepare_job
    from dcam_dist.training.step import patch_seeds

    with open_processes() as context:
        job = prepare_job(config(small_cohort, "unused", data__patch=PATCH), context)
        seeds = [patch_seeds(job, epoch, 0, 2) for epoch in (0, 1)]
        assert len(set(np.ravel(seeds))) == 16
        assert patch_seeds(job, 0, 1, 1) == seeds[0][1:]


def test_a_patch_larger_than_the_grid_is_refused(tmp_path, small_cohort):
    with pytest.raises(UsageError, match=r"data.patch=\[32, 16, 16\] does not fit the grid \[16, 32, 32\]"):
        train(config(small_cohort, tmp_path / "r", data__patch=[32, 16, 16]))


def test_the_wait_for_volumes_is_logged_and_told_from_two_percent_on(dcam_run):
    lines = [json.loads(line) for line in (dcam_run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for prefix in ("", "extract_"):
            phase = "extract" if prefix else "train"
            assert 0 <= line[f"{prefix}stall_share"] <= 1
            assert line[f"{prefix}stall_seconds"] == pytest.approx(
                line[f"{prefix}stall_share"] * line["seconds"][phase]
            )
    quiet, loud = ({**lines[0], "stall_share": share, "extract_stall_share": 0.0} for share in (0.019, 0.35))
    assert "waited" not in console_line(quiet, 3)
    assert "training waited for volumes 35% of its time" in console_line(loud, 3)
