"""New scans through a run or its bundle: the same answer by every way, and nothing taken that should not be."""

import csv
import json
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from dcam_dist import analysis
from dcam_dist.cohort import open_cohort
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.inference import export_run, infer
from dcam_dist.inference.answer import Answer
from dcam_dist.inference.place import only_call
from dcam_dist.maps import write_maps
from dcam_dist.metrics.densitometry import DENSITOMETRY_FIELDS
from dcam_dist.runs import read_bundle, write_bundle


def answers_of(summary):
    return {answer.case_id: answer.tree for answer in summary.answers}


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(out):
    with (out / "summary.csv").open(newline="") as stream:
        return {row["case_id"]: row for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def table(study):
    """The first three scans, with their masks."""
    lines = (study / "scans" / "cases.csv").read_text().splitlines()
    file = study / "scans" / "three.csv"
    file.write_text("\n".join(lines[:4]) + "\n")
    return file


@pytest.fixture(scope="module")
def from_run(run_of, table, study):
    return infer([table], study / "from-run", run_of("dcam"))


@pytest.fixture(scope="module")
def one(bundle, series, study):
    """One DICOM folder, lungs computed."""
    return infer([series], study / "one", bundle)


def test_a_bundle_answers_as_its_run_bit_for_bit(from_run, bundle, table, tmp_path):
    infer([table], tmp_path / "out", bundle)
    ours, theirs = files_of(tmp_path / "out"), files_of(from_run.out)
    assert ours.keys() == theirs.keys() and len(from_run.answers) == 3
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_scans_are_seen_as_in_the_cohort(from_run, run_of, study, tmp_path):
    """As ``maps`` on the ingested cases: the same maps to the byte, the same numbers; and as ``assign``."""
    run, cohort = run_of("dcam"), open_cohort(study / "cohort.zarr")
    copied = shutil.copytree(run, tmp_path / "run")
    write_maps(copied, case_ids=list(answers_of(from_run)))
    for case_id in answers_of(from_run):
        case = cohort.case(case_id)
        folder, ours = copied / "maps" / case.case_id, from_run.out / case.case_id
        maps = json.loads((folder / "case.json").read_text())
        tree = json.loads((ours / "case.json").read_text())
        assert {name: tree[name] for name in maps} == maps
        assert tree["densitometry"] == case.densitometry and set(tree["densitometry"]) <= set(DENSITOMETRY_FIELDS)
        for name in [*maps["files"].values(), "dcam-winner.nii.gz"]:
            assert (ours / name).read_bytes() == (folder / name).read_bytes()
    analysis.write_run_features(run, tmp_path / "features.safetensors")
    analysis.assign(run, tmp_path / "features.safetensors", tmp_path / "clusters.csv")
    with (tmp_path / "clusters.csv").open(newline="") as stream:
        for row in (row for row in csv.DictReader(stream) if row["case_id"] in answers_of(from_run)):
            tree = answers_of(from_run)[row["case_id"]]
            assert tree["cluster"] == int(row["cluster"])
            assert tree["p_value"] == pytest.approx(float(row["p_value"]), rel=1e-4)
            assert tree["margin"] == pytest.approx(float(row["margin"]), rel=1e-3, abs=1e-5)


def test_every_format_of_a_scan_gets_one_answer(series, as_images, bundle, tmp_path):
    """And the three are known for one acquisition, which agrees."""
    summary = infer([series, *as_images], tmp_path / "out", bundle)
    first, *others = summary.answers
    assert len(others) == 2 and summary.disagreements == []
    for answer in others:
        for name in ("cluster", "logits", "distances_to_centroids", "p_value"):
            assert answer.tree[name] == first.tree[name], name
        assert answer.densitometry == pytest.approx(first.densitometry, rel=1e-6)
    for answer in summary.answers:
        assert [other["disagrees"] for other in answer.tree["other_reconstructions"]] == [False, False]
        assert "reconstructions_disagree" not in answer.tree["flags"]
    volumes = [
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / answer.case_id / "dcam-cluster-1.nii.gz")))
        for answer in summary.answers
    ]
    assert volumes[0].any() and all(np.allclose(volume, volumes[0], atol=1e-4) for volume in volumes)


@pytest.mark.parametrize("method", ["baseline", "supervised"])
def test_other_methods(method, run_of, series, tmp_path):
    export_run(run_of(method), tmp_path / "bundle")
    models = {"r": run_of(method), "b": tmp_path / "bundle"}
    trees = [infer([series], tmp_path / name, model).answers[0].tree for name, model in models.items()]
    from_run, from_bundle = (Answer({**tree, "case_id": "", "sizes": {}}) for tree in trees)  # ids are keyed, and drawn
    assert from_run == from_bundle
    kind = "grade" if method == "supervised" else "cluster"
    assert from_run.kind == kind and f"{kind}_title" in from_run.tree
    if method == "supervised":
        assert from_run.tree["p_value"] is None and from_run.tree["distances_to_centroids"] is None
        assert from_run.number == max(
            range(6), key=lambda grade: list(from_run.tree["probabilities"].values())[grade]
        ), "grades count from 0"


def test_case_ids_lead_back_by_the_private_file_alone(one, series):
    (answer,) = one.answers
    private = one.out.with_name("one.private.json")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert json.loads(private.read_text())["cases"][answer.case_id]["source"] == str(series)
    written = b"".join(files_of(one.out).values())
    assert str(series).encode() not in written and series.parent.name.encode() not in written
    assert all(path.stat().st_mode & 0o077 == 0 for path in one.out.rglob("*"))


def test_bad_scans_are_set_aside_and_the_others_go_on(series, bundle, tmp_path):
    broken = shutil.copytree(series, tmp_path / "broken")
    for path in sorted(broken.iterdir())[3:5]:
        path.unlink()
    rows = [f"first,{series},of another label set", f"gone,{tmp_path / 'none.nii'},", f"bad,{broken},"]
    (tmp_path / "scans.csv").write_text("\n".join(["case_id,image,label", *rows]) + "\n")
    summary = infer([tmp_path / "scans.csv"], tmp_path / "out", bundle)
    assert [answer.case_id for answer in summary.answers] == ["first"]
    assert {entry.case_id: entry.reason for entry in summary.quarantined} == {
        "gone": "missing_file",
        "bad": "missing_slices",
    }
    rows = rows_of(tmp_path / "out")
    assert {case: row["status"] for case, row in rows.items()} == {
        "first": "done",
        "gone": "missing_file",
        "bad": "missing_slices",
    }
    aside = json.loads((tmp_path / "out" / "quarantine.json").read_text())
    assert [entry["what_to_do"] != "" and "picture" not in entry for entry in aside] == [True, True]
    assert not (tmp_path / "out" / "bad").exists()


def test_a_second_call_goes_on_and_only_with_the_same(one, series, as_images, bundle, run_of, tmp_path):
    out = shutil.copytree(one.out, tmp_path / "out")
    shutil.copy(one.out.with_name("one.private.json"), tmp_path / "out.private.json")
    (case,) = (answer.case_id for answer in one.answers)
    kept = (out / case / "dcam-cluster-1.nii.gz").stat().st_mtime_ns
    infer([series], out, bundle)
    assert (out / case / "dcam-cluster-1.nii.gz").stat().st_mtime_ns == kept
    (out / case / "overlay.png").unlink()
    infer([series], out, bundle)
    assert (out / case / "overlay.png").is_file()
    assert (out / case / "dcam-cluster-1.nii.gz").stat().st_mtime_ns != kept
    (out / case / "dcam-winner.nii.gz").write_bytes(b"half")
    infer([series], out, bundle)
    assert sitk.ReadImage(str(out / case / "dcam-winner.nii.gz")).GetSize()[0] > 0
    with pytest.raises(UsageError, match="1 scans that this call does not name"):
        infer(as_images, out, bundle)
    with pytest.raises(UsageError, match="another model"):
        infer([series], out, run_of("baseline"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(UsageError, match="holds no answers"):
        infer([series], tmp_path / "full", bundle)


def test_settings_of_ingest_alone_can_be_given(series, bundle, tmp_path):
    with pytest.raises(UsageError, match="settings are ingest"):
        infer([series], tmp_path / "out", bundle, settings=["grid.margin_mm=9"])
    with pytest.raises(UsageError, match=r"workers=3: has no effect here.*allow_cut_lungs.*max_voxels"):
        infer([series], tmp_path / "out", bundle, settings=["ingest.workers=3"])
    summary = infer([series], tmp_path / "out", bundle, settings=["ingest.max_voxels=1000"])
    assert [entry.reason for entry in summary.quarantined] == ["too_large"] and not summary.answers


def test_the_slices_own_objects_and_a_page_on_demand(series, as_images, bundle, tmp_path):
    summary = infer([series], tmp_path / "out", bundle, view=True, source_dicom=series)
    folder = tmp_path / "out" / summary.answers[0].case_id
    winner = dcmread(folder / "identified-dicom" / "winner.dcm")
    first = dcmread(sorted(series.iterdir())[0])
    assert winner.StudyInstanceUID == first.StudyInstanceUID and winner.PatientID == first.PatientID
    assert {path.name for path in (folder / "identified-dicom").iterdir()} == {
        *("winner.dcm", "lungs.dcm", "dcam-cluster-1.dcm", "dcam-cluster-2.dcm")
    }
    page = (folder / "view.html").read_text()
    assert summary.answers[0].case_id in page and "Content-Security-Policy" in page
    with pytest.raises(UsageError, match="folder of one scan, and 2 are named"):
        infer([series, as_images[0]], tmp_path / "two", bundle, source_dicom=series)
    before = files_of(folder)
    with pytest.raises(DataError, match="none of its 4 series is the scan"):
        infer([series], tmp_path / "out", bundle, source_dicom=folder / "identified-dicom")
    assert files_of(folder) == before, "the earlier answer is as it was"
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []
    (folder / "overlay.png").unlink()
    kept = infer([series], tmp_path / "out", bundle).answers[0].tree["sizes"]
    assert (folder / "overlay.png").is_file() and "view.html" not in kept, "what is not whole is made anew"


def test_objects_stay_where_a_page_is_asked_for_later(series, bundle, tmp_path):
    first = infer([series], tmp_path / "out", bundle, source_dicom=series).answers[0]
    second = infer([series], tmp_path / "out", bundle, view=True).answers[0]
    assert second.tree["sizes"].keys() - first.tree["sizes"].keys() == {"view.html"}
    assert first.tree["sizes"].items() <= second.tree["sizes"].items()


def test_another_model_of_the_same_name_is_another(one, series, bundle, tmp_path):
    """Who forges ``run_sha256`` does not get the answers of the model that has it."""
    forged = replace(read_bundle(bundle), run_sha256="0" * 64)
    clusters = replace(forged.model.clustering, centroid_KP=forged.model.clustering.centroid_KP[::-1].copy())
    write_bundle(tmp_path / "a", forged, "")
    write_bundle(tmp_path / "b", replace(forged, model=replace(forged.model, clustering=clusters)), "")
    infer([series], tmp_path / "out", tmp_path / "a")
    with pytest.raises(UsageError, match="another model"):
        infer([series], tmp_path / "out", tmp_path / "b")


@pytest.mark.parametrize("part", ["weights", "centroids"])
def test_a_model_that_gives_no_numbers_is_told_once(series, bundle, tmp_path, part):
    """As a fault of the model, not of each of the scans."""
    own = read_bundle(bundle)
    clusters = own.model.clustering
    if part == "centroids":
        clusters = replace(clusters, centroid_KP=np.full_like(clusters.centroid_KP, 3e38))
    else:
        for parameter in own.model.network.parameters():
            parameter.data *= 1e30
    write_bundle(tmp_path / "b", replace(own, model=replace(own.model, clustering=clusters)), "")
    with pytest.raises(DataError, match="the model gives numbers that are not finite"):
        infer([series], tmp_path / "out", tmp_path / "b")


def test_a_failed_call_claims_nothing(series, bundle, run_of, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        infer([tmp_path / "typo"], tmp_path / "out", bundle)
    assert list(tmp_path.iterdir()) == []


def test_maps_are_not_taken_for_scans(as_images, bundle, tmp_path):
    shutil.copy(as_images[0], tmp_path / "scan.nii.gz")
    with pytest.raises(UsageError, match="lies within"):
        infer([tmp_path], tmp_path / "out", bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_one_call_at_a_time(series, bundle, tmp_path):
    with only_call(tmp_path / "out"), pytest.raises(EnvironmentFault, match="another infer is writing it"):
        infer([series], tmp_path / "out", bundle)


def test_what_killed_calls_leave_is_cleared(one, series, bundle, tmp_path):
    out = shutil.copytree(one.out, tmp_path / "out")
    shutil.copy(one.out.with_name("one.private.json"), tmp_path / "out.private.json")
    (case,) = (answer.case_id for answer in one.answers)
    for name in (f".{case}.new-{'0' * 32}", f".other.old-{'f' * 32}"):
        shutil.copytree(out / case, out / name)
    (out / ".inference.json.4711").touch()
    (out / case / ".case.json.4711").touch()
    infer([series], out, bundle)
    assert files_of(out).keys() == files_of(one.out).keys()
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / ".inference.json.4711").touch()
    assert infer([series], begun, bundle).answers


def test_an_interrupted_call_leaves_no_answer_that_looks_complete(one, series, as_images, bundle, tmp_path):
    """The scans are compared at the end only; till then a file says that it was not."""
    assert json.loads((one.out / one.answers[0].case_id / "case.json").read_text())["closed"] is True

    def stop(done, *_):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer([series, as_images[0]], tmp_path / "out", bundle, progress=stop)
    (file,) = (tmp_path / "out").glob("*/case.json")
    assert json.loads(file.read_text())["closed"] is False


def test_an_answer_is_what_its_file_says(one):
    (answer,) = one.answers
    stored = Answer(json.loads((one.out / answer.case_id / "case.json").read_text()))
    assert stored == answer and stored.lungs_box.shape > (0, 0, 0)
    row = rows_of(one.out)[answer.case_id]
    assert int(row["cluster"]) == answer.number and float(row["laa950"]) == pytest.approx(
        answer.densitometry["laa950"], rel=1e-5
    )
    assert row["out_of_distribution"] == "" and any("too few" in note for note in one.notes())
    won = answer.tree["share_won"]
    assert sum(won.values()) == pytest.approx(1) and float(row["share_won"]) == pytest.approx(
        won[answer.title], rel=1e-5
    )
    assert float(row["probability_by_the_head"]) == pytest.approx(answer.tree["probabilities"][answer.title], rel=1e-5)


def test_the_share_that_is_won_is_that_of_the_picture(one):
    (answer,) = one.answers
    winner = sitk.GetArrayFromImage(sitk.ReadImage(str(one.out / answer.case_id / "dcam-winner.nii.gz")))
    seen = [float((winner == number).sum() / (winner > 0).sum()) for number in (1, 2)]
    assert list(answer.tree["share_won"].values()) == pytest.approx(seen, abs=0.05)


def test_names_of_grades_are_text_and_nothing_else(run_of, series, tmp_path):
    """Neither formulas of a figure nor of a table."""
    export_run(run_of("supervised"), tmp_path / "own")
    own = read_bundle(tmp_path / "own")
    names = ("=1+1", r"$\frac{$", "@c", "+d", "-e", "_$f$")
    labels = own.model.config.labels.model_copy(update={"names": names})
    config = own.model.config.model_copy(update={"labels": labels})
    write_bundle(tmp_path / "b", replace(own, model=replace(own.model, config=config)), "")
    (answer,) = infer([series], tmp_path / "out", tmp_path / "b").answers
    title = rows_of(tmp_path / "out")[answer.case_id]["grade_title"]
    assert answer.title in names and title == (answer.title if answer.title[0] in "$_" else f"'{answer.title}")
