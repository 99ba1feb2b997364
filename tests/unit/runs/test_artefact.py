"""A saved clustering is read as it was written; damaged, foreign and hostile ones are refused by one line."""

import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clusterings import make_artefact

from dcam_dist.clustering import ArrayRows
from dcam_dist.clustering.outliers import outlier_rule
from dcam_dist.clustering.sklearn_backend import SklearnBackend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.runs import artefact as artefact_module
from dcam_dist.runs import artefact_of_run, read_artefact, restore_run, write_artefact
from dcam_dist.runs.artefact_files import ABOUT, MODEL, from_files, to_files
from dcam_dist.runs.sealed import write_sealed

WRITTEN = make_artefact()
FILES = dict(to_files(replace(WRITTEN, new_id_K=np.array([1, 0, 2, 3, 5, 4]))))
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if hasattr(a, "__dataclass_fields__"):
            assert_same(a, b)
        elif isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), field.name
        else:
            assert a == b, field.name


def refused(folder, *parts, kind=DataError):
    with pytest.raises(kind) as caught:
        read_artefact(folder)
    line = str(caught.value)
    assert line.startswith(f"{folder}: ") and "\n" not in line and len(line) < 400 + len(str(folder))
    for part in parts:
        assert part in line


def forged(folder, tree=(), arrays=()):
    """An artefact whose seal is good and whose content is not."""
    about = {**json.loads(FILES[ABOUT]), **dict(tree)}
    tensors = {**safetensors.numpy.load(FILES[MODEL]), **dict(arrays)}
    tensors = {name: array for name, array in tensors.items() if array is not None}
    folder.mkdir()
    write_sealed(folder, [(MODEL, safetensors.numpy.save(tensors)), (ABOUT, json.dumps(about).encode())])
    return folder


@pytest.mark.parametrize(
    "written",
    [
        WRITTEN,
        replace(WRITTEN, new_id_K=np.arange(6)[::-1].copy()),
        replace(WRITTEN, outliers=None),
        make_artefact(clusters=2, pca_components=0.9, whiten=True, l2_normalize=True),
    ],
)
def test_what_is_written_is_read(tmp_path, written):
    write_artefact(tmp_path / "a", written)
    assert_same(read_artefact(tmp_path / "a"), written)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a"]


def test_an_earlier_artefact_is_replaced_and_nothing_else_is(tmp_path):
    write_artefact(tmp_path / "a", WRITTEN)
    (tmp_path / "a" / "clusters.csv").write_text("of the earlier one")
    write_artefact(tmp_path / "a", replace(WRITTEN, seed=7))
    assert read_artefact(tmp_path / "a").seed == 7
    assert not (tmp_path / "a" / "clusters.csv").exists()
    (tmp_path / "b").mkdir()
    write_artefact(tmp_path / "b", WRITTEN)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "MANIFEST.json").write_text("{}")
    (tmp_path / "d").write_text("")
    for name in ("c", "d"):
        with pytest.raises(UsageError, match="is no clustering"):
            write_artefact(tmp_path / name, WRITTEN)
    assert (tmp_path / "c" / "MANIFEST.json").read_text() == "{}"


def test_what_lies_beside_an_earlier_clustering_is_not_lost(tmp_path):
    write_artefact(tmp_path / "a", WRITTEN)
    for own in (
        "clusters.csv",
        ".clusters.csv",
    ):  # its table, made anew each time, and what a failed write leaves of it
        (tmp_path / "a" / own).touch()
    write_artefact(tmp_path / "a", WRITTEN)
    (tmp_path / "a" / "test.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"holds test\.csv, which would be lost"):
        write_artefact(tmp_path / "a", replace(WRITTEN, seed=7))
    assert (tmp_path / "a" / "test.csv").read_text() == "mine" and read_artefact(tmp_path / "a").seed == 0


def test_several_rows_may_be_infinitely_far_off(tmp_path):
    rows = np.concatenate([np.zeros(95), [0.02, 0.03], np.ones(3)]).astype(np.float32)[:, None]
    model = SklearnBackend().fit(ArrayRows(rows), ClusteringConfig(clusters=2), 0).model
    rule, _ = outlier_rule(rows, model)
    assert np.isinf(rule.score_M).sum() == 2
    write_artefact(tmp_path / "a", replace(WRITTEN, model=model, size_K=np.array([97, 3]), outliers=rule))
    np.testing.assert_array_equal(read_artefact(tmp_path / "a").outliers.score_M, rule.score_M)


def test_a_failed_write_leaves_the_earlier_one(tmp_path, monkeypatch):
    write_artefact(tmp_path / "a", WRITTEN)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artefact_module, "write_sealed", full)
    with pytest.raises(OSError, match="No space"):
        write_artefact(tmp_path / "a", replace(WRITTEN, seed=7))
    monkeypatch.undo()
    monkeypatch.setattr(artefact_module, "write_sealed", lambda folder, files: write_sealed(folder, [(ABOUT, b"{}")]))
    with pytest.raises(DataError, match="cannot be saved"):
        write_artefact(tmp_path / "a", replace(WRITTEN, seed=7))

    def lies(folder, files):
        write_sealed(folder, files)
        (folder / MODEL).write_bytes(bytes((folder / MODEL).stat().st_size))

    monkeypatch.setattr(artefact_module, "write_sealed", lies)
    with pytest.raises(EnvironmentFault, match="gives back other bytes"):
        write_artefact(tmp_path / "a", replace(WRITTEN, seed=7))
    assert read_artefact(tmp_path / "a").seed == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a"]


def test_it_holds_no_case_and_no_path(tmp_path, dcam_run):
    run = restore_run(dcam_run)
    write_artefact(tmp_path / "a", artefact_of_run(run))
    content = b"".join(file.read_bytes() for file in (tmp_path / "a").iterdir())
    for case_id in run.checkpoint.case_id_N:
        assert case_id.encode() not in content
    for path in (dcam_run, run.config.data.cohort, tmp_path):
        assert str(path).encode() not in content and path.name.encode() not in content.replace(b"dcam-dist", b"")


def test_a_run_s_artefact_has_its_clusters_under_their_ids(dcam_run):
    run = restore_run(dcam_run)
    made = artefact_of_run(run)
    features = run.checkpoint.in_hand.features
    label_N = run.assignment.label_N
    np.testing.assert_array_equal(made.model.assign(features.features_NC), label_N)
    assert made.size_K.tolist() == np.bincount(label_N, minlength=3).tolist()
    assert len(made.outliers.score_M) == len(label_N)
    assert made.source == artefact_of_run(restore_run(dcam_run)).source


def test_a_supervised_run_has_none(dcam_run):
    run = restore_run(dcam_run)
    with pytest.raises(UsageError, match="supervised"):
        artefact_of_run(replace(run, checkpoint=replace(run.checkpoint, clustering=None)))


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), name=st.sampled_from([ABOUT, MODEL, "MANIFEST.json"]))
@shared_folder
def test_every_changed_byte_is_found(tmp_path, place, byte, name):
    folder = tmp_path / "a"
    if not folder.exists():
        write_artefact(folder, WRITTEN)
    content = (folder / name).read_bytes()
    place %= len(content)
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    (folder / name).write_bytes(changed)
    try:
        if changed != content:
            refused(folder)
    finally:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", [ABOUT, MODEL, "MANIFEST.json"])
def test_every_missing_file_is_found(tmp_path, name):
    write_artefact(tmp_path / "a", WRITTEN)
    (tmp_path / "a" / name).unlink()
    refused(tmp_path / "a", kind=UsageError if name == ABOUT else DataError)


@given(
    name=st.sampled_from([ABOUT, MODEL]),
    bites=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
@shared_folder
def test_files_under_a_good_seal_are_read_or_refused_in_one_line(name, bites):
    content = bytearray(FILES[name])
    for place, byte in bites:
        content[place % min(len(content), 3000)] = byte  # where the headers are
    try:
        read = from_files({**FILES, name: bytes(content)})
    except (DataError, EnvironmentFault) as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        assert np.isfinite(read.model.centroid_KP).all() and read.model.scale_C.min() > 0


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(json.loads(FILES[ABOUT]))), value=trees)
@shared_folder
def test_any_value_of_any_field_is_read_or_refused_in_one_line(key, value):
    try:
        from_files({**FILES, ABOUT: json.dumps({**json.loads(FILES[ABOUT]), key: value}).encode()})
    except (DataError, EnvironmentFault) as error:
        assert "\n" not in str(error) and len(str(error)) < 400


F4, I8 = np.float32, np.int64


@pytest.mark.parametrize(
    ("tree", "arrays", "why"),
    [
        ({"kind": "a cake"}, {}, "something else"),
        ({"n": 1}, {}, "sizes or ids"),
        ({"cluster_ids": [1]}, {}, "sizes or ids"),
        ({"settings": {"clusters": 6, "secret": 1}}, {}, "settings: 1 wrong"),
        ({"source": {"path": "x" * 201}}, {}, "too long"),
        ({"whiten": 1}, {}, "true or false"),
        ({"inertia": "nan"}, {}, "inertia"),
        ({}, {"mean_C": np.zeros(63, F4)}, "mean_C is float32 of shape (63,)"),
        ({}, {"mean_C": np.zeros(64)}, "mean_C is float64"),
        ({}, {"centroid_KP": np.full((6, 8), np.nan, F4)}, "not finite"),
        ({}, {"centroid_KP": np.zeros((1, 8), F4)}, "1 clusters on 8 axes"),
        ({}, {"scale_C": np.zeros(64, F4)}, "scale"),
        ({}, {"new_id_K": np.zeros(6, I8)}, "no permutation"),
        ({}, {"outlier_score_M": np.array([1.0, 0.0])}, "not in order"),
        ({}, {"outlier_score_M": np.array([np.nan, 0.0])}, "not in order"),
        ({}, {"outlier_residual_2": None}, "KeyError"),
        ({}, {"outlier_score_M": None}, "an array too many"),
        ({}, {"code": np.zeros(1, F4)}, "an array too many"),
        ({}, {"size_K": None}, "KeyError"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, tree, arrays, why):
    refused(forged(tmp_path / "a", tree, arrays), why)


def test_a_newer_format_says_so(tmp_path):
    refused(forged(tmp_path / "a", {"format": 2}), "install a newer dcam-dist", kind=EnvironmentFault)


def test_what_is_no_artefact_is_refused(tmp_path, dcam_run):
    for folder in (tmp_path, tmp_path / "gone", dcam_run):
        refused(folder, "no clustering here", "dcam-dist cluster SOURCE", kind=UsageError)


def test_a_giant_is_not_read(tmp_path, monkeypatch):
    write_artefact(tmp_path / "a", WRITTEN)
    monkeypatch.setattr(artefact_module, "MOST_BYTES", 4000)
    refused(tmp_path / "a", "larger than it can be")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    write_artefact(tmp_path / "a", WRITTEN)
    shutil.move(tmp_path / "a" / MODEL, tmp_path / "elsewhere")
    (tmp_path / "a" / MODEL).symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "a", "not a plain file")
