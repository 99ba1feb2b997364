"""What is written is read to the last bit in every format; what is no feature file is refused by one line."""

import csv
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from dcam_dist.errors import DataError, DcamError, UsageError
from dcam_dist.runs import feature_files
from dcam_dist.runs.feature_files import read_features, write_features
from dcam_dist.types import FeatureTable

SUFFIXES = (".safetensors", ".npz", ".csv")
ABOUT = {"made_by": "a test"}
tables = of_numpy.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
).flatmap(
    lambda features: st.lists(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
        min_size=len(features),
        max_size=len(features),
        unique=True,
    ).map(lambda ids: FeatureTable(features, tuple(ids)))
)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def table(rows=3, channels=2):
    features = np.random.default_rng(0).normal(size=(rows, channels)).astype(np.float32)
    return FeatureTable(features, tuple(f"case{row}" for row in range(rows)))


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def refused(path, *parts, kind=DataError):
    with pytest.raises(kind) as caught:
        read_features(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 400 + len(str(path))
    for part in parts:
        assert part in line


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(written=tables)
@shared_folder
def test_what_is_written_is_read_to_the_last_bit(tmp_path, suffix, written):
    path = tmp_path / f"features{suffix}"
    write_features(path, written, ABOUT)
    read = read_features(path)
    assert read.case_id_N == written.case_id_N
    assert read.features_NC.dtype == np.float32
    assert read.features_NC.tobytes() == written.features_NC.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    bites=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4), cut=st.booleans()
)
@shared_folder
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, suffix, bites, cut):
    path = tmp_path / f"damaged{suffix}"
    write_features(path, table(), ABOUT)
    content = bytearray(path.read_bytes())
    for place, byte in bites:
        content[place % len(content)] = byte
    path.write_bytes(content[: bites[0][0] % len(content)] if cut else content)
    try:
        read = read_features(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert len(read.case_id_N) == len(set(read.case_id_N)) == len(read.features_NC) > 0
        assert np.isfinite(read.features_NC).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
)
@shared_folder
def test_any_other_content_is_refused_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(content)
    refused(path)


@given(cells=st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=5))
@shared_folder
def test_a_table_with_odd_cells_is_read_or_refused_in_one_line(tmp_path, cells):
    text = io.StringIO()
    csv.writer(text).writerows([["case_id", "c1", "c2"], *cells])
    path = tmp_path / "odd.csv"
    path.write_bytes(text.getvalue().encode("utf-8", "replace"))
    try:
        assert np.isfinite(read_features(path).features_NC).all()
    except DataError as error:
        assert "\n" not in str(error)


def test_provenance_travels_in_the_metadata(tmp_path):
    write_features(tmp_path / "f.safetensors", table(), ABOUT)
    with safetensors.safe_open(tmp_path / "f.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["about"]) == ABOUT
        assert json.loads(file.metadata()["case_id"]) == list(table().case_id_N)


def test_a_file_of_another_program_is_read(tmp_path):
    """NumPy makes float64 by default; spreadsheets write a byte order mark and name the channels."""
    values = np.asfortranarray([[1.5, 2], [3, 4], [5, 6]])
    read = read_features(npz(tmp_path / "f.npz", features=values, case_id=np.array(["a", "b", "c"]), other=np.zeros(3)))
    np.testing.assert_array_equal(read.features_NC, values.astype(np.float32))
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbfcase_id,mean,spread\r\na,1.5,2\r\nb,3,-4e0\r\n")
    read = read_features(tmp_path / "f.csv")
    assert (read.case_id_N, read.features_NC.tolist()) == (("a", "b"), [[1.5, 2], [3, -4]])


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    objects = np.array([Bomb()], dtype=object)
    np.savez(tmp_path / "f.npz", features=np.zeros((1, 2)), case_id=objects, allow_pickle=True)
    refused(tmp_path / "f.npz", "case_id must hold texts")
    np.savez(tmp_path / "f.npz", features=objects[:, None], case_id=np.array(["a"]), allow_pickle=True)
    refused(tmp_path / "f.npz", "features must hold float numbers")
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        for name in ("features.npy", "case_id.npy"):
            archive.writestr(name, pickle.dumps(Bomb()))
    refused(tmp_path / "f.npz", "no array of NumPy's")


@pytest.mark.parametrize(
    ("features", "ids", "why"),
    [
        (np.zeros((2, 2)), ["a", "a"], "row 2 was used before"),
        (np.zeros((2, 2)), ["a"], "1 case ids for 2 rows"),
        (np.zeros((0, 2)), np.zeros(0, "U1"), "no case"),
        (np.zeros((2, 0)), ["a", "b"], "0 channels"),
        (np.zeros((1, 70_000), np.float16), ["a"], "70000 channels"),
        (np.zeros(2), ["a", "b"], "of shape (2,)"),
        (np.zeros((2, 2), np.int64), ["a", "b"], "int64"),
        (np.zeros((2, 2), np.complex64), ["a", "b"], "complex64"),
        (np.array([[0, 1], [np.nan, 1]]), ["a", "b"], "1 rows are not finite, first row 2"),
        (np.array([[0, 1e39], [0, 1]]), ["a", "b"], "1 rows are not finite, first row 1"),
        (np.zeros((2, 2)), ["a", "../b"], "case id of row 2"),
        (np.zeros((2, 2)), ["a", ""], "case id of row 2"),
        (np.zeros((2, 2)), [1, 2], "case_id must hold texts"),
    ],
)
def test_arrays_that_are_no_features(tmp_path, features, ids, why):
    refused(npz(tmp_path / "f.npz", features=features, case_id=np.array(ids)), why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id,c\na,1\n", "first line must be case_id"),
        ("case_id\na\n", "0 channels"),
        ("case_id,c\n", "no case"),
        ("case_id,c,d\na,1,2\nb,1\n", "line 3 has 2 columns"),
        ("case_id,c\na,1_0\n", "line 2 holds something that is no number"),
        ("case_id,c\na,١\n", "no number"),
        ("case_id,c\na,\n", "no number"),
        ("case_id,c\na,nan\n", "not finite"),
        ("case_id,c\na,1e999\n", "not finite"),
        ('case_id,c\n"a\nb",1\n', "csv"),
        ("case_id,c\na,1\0\n", "no feature file"),
        ("case_id" + ",c" * 70_000 + "\n", "70000 channels"),
        ("case_id,c\n" + "a" * 3_000_000, "a line of more than"),
        ("case_id,c\na,1\n\n", "line 3 has 0 columns"),
    ],
)
def test_tables_that_are_no_features(tmp_path, text, why):
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    refused(tmp_path / "f.csv", why.replace("csv", "Error") if why == "csv" else why)


@pytest.mark.parametrize(
    ("tensors", "changed", "why"),
    [
        ({"features": np.zeros((2, 2), np.float64)}, {}, "type F32"),
        ({"features": np.zeros((2, 2), np.float32), "more": np.zeros(1)}, {}, "one tensor"),
        ({"features": np.zeros((2, 2, 2), np.float32)}, {}, "shape (2, 2, 2)"),
        ({"features": np.zeros((2, 2), np.float32)}, {"case_id": '["a", 1]'}, "no list of texts"),
        ({"features": np.zeros((2, 2), np.float32)}, {"case_id": "[" * 100_000}, "no feature file"),
        ({"features": np.zeros((2, 2), np.float32)}, {"format": "2"}, "of format '2'"),
    ],
)
def test_tensors_that_are_no_features(tmp_path, tensors, changed, why):
    metadata = {"format": "1", "case_id": '["a", "b"]', "about": "{}", **changed}
    (tmp_path / "f.safetensors").write_bytes(safetensors.numpy.save(tensors, metadata))
    refused(tmp_path / "f.safetensors", why)


def test_a_small_file_does_not_unfold_to_a_giant(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_files, "MOST_BYTES", 1 << 20)
    big = {"features": np.zeros((100, 5000), np.float32), "case_id": np.array([f"c{i}" for i in range(100)])}
    np.savez_compressed(tmp_path / "f.npz", **big)
    assert (tmp_path / "f.npz").stat().st_size < 1 << 14
    refused(tmp_path / "f.npz", "2000128 bytes long")
    with zipfile.ZipFile(tmp_path / "f.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4)})
        archive.writestr("features.npy", header.getvalue())
        case_id = io.BytesIO()
        np.save(case_id, big["case_id"])
        archive.writestr("case_id.npy", case_id.getvalue())
    refused(tmp_path / "f.npz", "not what its header says")
    (tmp_path / "f.csv").write_bytes(b"case_id,c\n" + b"a,1\n" * (1 << 18))
    refused(tmp_path / "f.csv", "feature files of up to")


def test_what_is_no_file_of_features_at_all(tmp_path):
    refused(tmp_path / "gone.npz", "no such file", "dcam-dist features RUN", kind=UsageError)
    (tmp_path / "f.pt").write_bytes(b"")
    refused(tmp_path / "f.pt", "*.safetensors, *.npz, *.csv", kind=UsageError)
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", "not a plain file")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_could_not_be_read_is_not_written(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    for features, ids in ((np.full((1, 2), np.nan, np.float32), ("a",)), (np.zeros((1, 2)), ("a",))):
        with pytest.raises(DataError, match="not written"):
            write_features(path, FeatureTable(features, ids), ABOUT)
    with pytest.raises(DcamError, match="row 1"):
        write_features(path, FeatureTable(np.zeros((1, 2), np.float32), ("Müller, Jörg",)), ABOUT)
    assert list(tmp_path.iterdir()) == []
