"""Texture patterns of a small run: what is written, and that it says what the network and the cohort say."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from support.cohorts import BASELINE_SHAPE, SHAPE, damage_case, make_cohort, settings

from dcam_dist.analysis.pattern_labels import label_volume, labels_of, pattern_table
from dcam_dist.analysis.patterns import cluster_voxels, find_patterns, voxel_source
from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.stream import read_volume
from dcam_dist.config import load_config
from dcam_dist.distributed import open_processes
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.runs import fingerprint, restore_run
from dcam_dist.runs.artefact import read_artefact
from dcam_dist.training import train
from dcam_dist.training.voxel_rows import check_room, stored_voxels
from dcam_dist.training.voxel_store import open_rows
from dcam_dist.training.voxels import visit_voxels

TRAIN, LUNG_VOXELS = 9, 4216


def config(cohort, *changes):
    return load_config(None, [*settings(cohort), "patterns.clusters=4", *changes])


@pytest.fixture
def source(dcam_run, small_cohort):
    restored = restore_run(dcam_run)
    with open_processes() as context:
        yield voxel_source(restored, open_cohort(small_cohort), config(small_cohort), context)


def with_settings(source, *changes):
    return replace(source, config=config(source.cohort.path, *changes))


@torch.no_grad()
def dense_rows(source, case_id):
    """Features of all lung voxels of a case, straight from the network."""
    volume, mask = read_volume(source.cohort, case_id, source.config.data.window_hu)
    return source.network.body(torch.from_numpy(volume)[None, None])[0].numpy()[:, mask].T, volume, mask


def table(out, name):
    with (out / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def found(tmp_path_factory, dcam_run, small_cohort):
    out = tmp_path_factory.mktemp("out")
    return cluster_voxels(dcam_run, out, config(small_cohort, "patterns.voxels_per_case=300"), cohort=small_cohort)


def test_the_stored_rows_are_the_features_of_all_lung_voxels(source, tmp_path):
    cases = [case.case_id for case in source.cohort.split("train")]
    with stored_voxels(source, cases, tmp_path) as stored:
        rows = np.concatenate(list(stored.rows.chunks()))
        assert stored.total == len(rows) == TRAIN * LUNG_VOXELS
        assert (tmp_path / "voxels" / "rank-0000.zarr").is_dir()
    expected = np.concatenate([dense_rows(source, case_id)[0] for case_id in cases])
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_features_are_kept_where_asked_for_and_where_asked_to(source, tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "node"))
    asked = with_settings(
        source, "patterns.voxels_per_case=50", "patterns.keep_features=true", "patterns.scratch=$NODE_DISK"
    )
    cases = [case.case_id for case in source.cohort.split("train")]
    with stored_voxels(asked, cases, tmp_path / "out"):
        pass
    (folder,) = (tmp_path / "node").iterdir()
    assert open_rows(folder / "rank-0000.zarr").shape == (TRAIN * 50, source.network.body.channels)
    assert not (tmp_path / "out").exists()


def test_an_unset_variable_of_the_scratch_folder_is_told(source, tmp_path, monkeypatch):
    monkeypatch.delenv("NODE_DISK", raising=False)
    with (
        pytest.raises(UsageError, match=r"patterns\.scratch"),
        stored_voxels(with_settings(source, "patterns.scratch=$NODE_DISK/x"), ["case000"], tmp_path),
    ):
        pass


def test_without_room_nothing_is_written(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 2**40, 1_000_000))
    cases = [case.case_id for case in source.cohort.split("train")]
    with (
        pytest.raises(
            EnvironmentFault,
            match=r"37,944 voxels need 0\.00\d+ GB, 0\.001 GB are free; lower patterns\.voxels_per_case",
        ),
        stored_voxels(source, cases, tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folders_on_one_disk_need_room_together(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 0, 1000))
    check_room({tmp_path / "a": 600, tmp_path / "b" / "c": 400}, 5)
    with pytest.raises(EnvironmentFault, match=r"need 1e-06 GB, 1e-06 GB are free"):
        check_room({tmp_path / "a": 600, tmp_path / "b" / "c": 401}, 5)


def test_every_voxel_has_the_pattern_of_the_nearest_centroid(source, tmp_path):
    fit, _ = find_patterns(source, ["case000", "case001"], tmp_path)
    counted = pattern_table(source, ["case002", "case000"], fit.model)
    assert counted.case_id_N == ("case002", "case000")
    for row, case_id in enumerate(counted.case_id_N):
        features, volume, mask = dense_rows(source, case_id)
        label_V = fit.model.assign(features)
        assert (counted.voxel_NK[row] == np.bincount(label_V, minlength=4)).all()
        low, high = source.config.data.window_hu
        hu_V = low + (high - low) * volume[mask].astype(np.float64)
        np.testing.assert_allclose(counted.hu_NK[row], np.bincount(label_V, hu_V, minlength=4), rtol=1e-6)
    np.testing.assert_allclose(counted.shares.sum(axis=1), 1, rtol=1e-6)
    assert (np.diff(fit.size_K) <= 0).all()


@pytest.mark.parametrize("edge", [1, 2])
def test_a_volume_of_patterns_is_zero_outside_the_lungs_and_whole_inside(source, tmp_path, edge):
    asked, volumes = with_settings(source, f"patterns.supervoxel={edge}"), []
    fit, _ = find_patterns(asked, ["case000"], tmp_path)

    def check(voxels):
        label_DHW = label_volume(voxels, fit.model, edge)
        assert label_DHW.shape == SHAPE
        np.testing.assert_array_equal(label_DHW > 0, voxels.lung_mask_DHW)
        label_N = labels_of(voxels.features_NC, fit.model).numpy()
        z, y, x = np.unravel_index(voxels.cell_N, tuple(size // edge for size in SHAPE))
        for row in range(0, len(label_N), 97):
            cube = np.s_[
                z[row] * edge : (z[row] + 1) * edge,
                y[row] * edge : (y[row] + 1) * edge,
                x[row] * edge : (x[row] + 1) * edge,
            ]
            assert set(label_DHW[cube][voxels.lung_mask_DHW[cube]].tolist()) == {label_N[row] + 1}
        volumes.append(voxels.case_id)

    visit_voxels(asked, ["case000", "case005"], check)
    assert volumes == ["case000", "case005"]


def test_the_patterns_are_of_so_many_voxels_of_each_training_scan(found):
    assert found.patterns.size_K.sum() == TRAIN * 300
    assert found.patterns.backend == "torch"  # auto, which leaves rows where they are
    assert [int(row["rows_clustered"]) for row in table(found.out, "patterns")] == found.patterns.size_K.tolist()


def test_the_histograms_are_of_all_lung_voxels_of_all_scans(found, small_cohort):
    rows = table(found.out, "histograms")
    assert len(rows) == 13
    assert {row["case_id"]: row["split"] for row in rows} == {
        c.case_id: c.split for c in open_cohort(small_cohort).cases
    }
    for row in rows:
        assert int(row["lung_voxels"]) == LUNG_VOXELS
        assert sum(float(row[f"pattern_{k}"]) for k in range(1, 5)) == pytest.approx(1, abs=1e-5)


def test_subtypes_are_made_of_the_training_scans_and_all_have_one(found):
    rows = table(found.out, "subtypes")
    trained = [int(row["subtype"]) for row in rows if row["split"] == "train"]
    assert np.bincount(trained, minlength=4)[1:].tolist() == found.subtypes.size_K.tolist()
    assert (np.diff(found.subtypes.size_K) <= 0).all()
    shares = np.array(
        [[float(row[f"pattern_{k}"]) for k in range(1, 5)] for row in table(found.out, "histograms")], np.float32
    )
    assert [int(row["subtype"]) - 1 for row in rows] == found.subtypes.model.assign(shares).tolist()


def test_both_clusterings_are_kept_as_artefacts_without_cases_and_paths(found, dcam_run, tmp_path):
    for name, fit, rows in (
        ("patterns", found.patterns, "features of lung voxels"),
        ("subtypes", found.subtypes, "shares of lung voxels in texture patterns"),
    ):
        kept = read_artefact(found.out / name)
        np.testing.assert_array_equal(kept.model.centroid_KP, fit.model.centroid_KP)
        np.testing.assert_array_equal(kept.size_K, fit.size_K)
        assert kept.rows == rows
        assert kept.settings.clusters == len(fit.size_K)
        content = b"".join(file.read_bytes() for file in (found.out / name).iterdir())
        assert b"case0" not in content and str(tmp_path.parent).encode() not in content
        assert kept.source["run_sha256"] == fingerprint(restore_run(dcam_run).checkpoint)


def test_something_else_in_the_place_of_an_artefact_is_refused_before_any_work(dcam_run, small_cohort, tmp_path):
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no clustering"):
        cluster_voxels(dcam_run, tmp_path, config(small_cohort))
    assert [path.name for path in tmp_path.iterdir()] == ["patterns"]


def test_the_typical_scans_are_mapped_in_their_own_space(found, small_cohort):
    cohort = open_cohort(small_cohort)
    assert {path.name for path in (found.out / "maps").iterdir()} == set(found.mapped)
    rows = {row["case_id"]: row for row in table(found.out, "histograms")}
    for case_id in found.mapped:
        image = sitk.ReadImage(str(found.out / "maps" / case_id / "patterns.nii.gz"))
        label = sitk.GetArrayFromImage(image)
        assert label.shape == cohort.case(case_id).scan.shape
        np.testing.assert_allclose(image.GetSpacing(), cohort.case(case_id).scan.spacing_mm[::-1], rtol=1e-6)
        shares = np.bincount(label[label > 0], minlength=5)[1:] / (label > 0).sum()
        expected = [float(rows[case_id][f"pattern_{k}"]) for k in range(1, 5)]
        np.testing.assert_allclose(shares, expected, atol=1e-6)  # this cohort's scans are its grids


def test_a_named_case_is_mapped_and_no_other(dcam_run, small_cohort, tmp_path):
    asked = config(small_cohort, "patterns.voxels_per_case=50", "patterns.supervoxel=2")
    found = cluster_voxels(dcam_run, tmp_path, asked, case_ids=["case002"])
    assert found.mapped == ("case002",)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["case002"]
    with pytest.raises(UsageError, match="no case fits --case number 1"):
        cluster_voxels(dcam_run, tmp_path, asked, case_ids=["nobody"])


def test_test_scans_take_no_part_in_the_clusterings(source, found, tmp_path):
    asked = with_settings(source, "patterns.voxels_per_case=300")
    alone, _ = find_patterns(asked, [case.case_id for case in source.cohort.split("train")], tmp_path)
    np.testing.assert_array_equal(alone.model.centroid_KP, found.patterns.model.centroid_KP)
    assert found.subtypes.size_K.sum() == TRAIN


def test_the_cohort_of_another_run_is_refused(dcam_run, tmp_path):
    cohort = make_cohort(tmp_path / "cohort.zarr", 12)  # without the last training case
    with pytest.raises(UsageError, match="training split differs"):
        cluster_voxels(dcam_run, tmp_path / "out", config(cohort), cohort=cohort)


def test_a_damaged_volume_is_one_line_and_leaves_no_features(dcam_run, tmp_path):
    cohort = make_cohort(tmp_path / "cohort.zarr", 13)
    damage_case(cohort, "case004", "flip")
    with pytest.raises(DataError, match=r"case004.*validate"):
        cluster_voxels(dcam_run, tmp_path / "out", config(cohort), cohort=cohort)
    assert list((tmp_path / "out").iterdir()) == []


def test_fewer_scans_than_subtypes_are_refused_before_any_work(dcam_run, small_cohort, tmp_path):
    with pytest.raises(DataError, match="9 rows cannot form 10 clusters"):
        cluster_voxels(dcam_run, tmp_path / "out", config(small_cohort, "clustering.clusters=10"))
    assert not (tmp_path / "out").exists()


def test_the_baseline_has_no_features_of_voxels(tmp_path):
    cohort = make_cohort(tmp_path / "cohort.zarr", 6, shape=BASELINE_SHAPE)
    asked = settings(
        cohort, output=tmp_path / "run", method="baseline", training__epochs=1, grid__shape=list(BASELINE_SHAPE)
    )
    run = train(load_config(None, asked)).run
    with pytest.raises(UsageError, match="method=baseline has no features of single voxels"):
        cluster_voxels(run, tmp_path / "out", load_config(None, asked))
