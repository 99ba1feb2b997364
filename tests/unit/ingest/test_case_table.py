"""cases.csv: what is read, and that whatever is wrong is one line with file and line number."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.case_table import COLUMNS, read_case_table


def _read(tmp_path, content):
    path = tmp_path / "cases.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_case_table(path)


def test_header_case_blanks_and_byte_order_mark(tmp_path):
    text = (
        "\ufeff Case_ID , IMAGE,label, FEV1 ,lesion_mask\r\n\r\n"
        " a1 , scans/a.nrrd ,mild, 71.5 ,l.nii\r\nb2,b.mha,,,\r\n"
    )
    first, second = _read(tmp_path, text)
    assert (first.case_id, first.image, first.label, first.split) == ("a1", "scans/a.nrrd", "mild", "")
    assert first.covariates == (("FEV1", "71.5"),)
    assert (first.line, second.line) == (3, 4)
    assert second.covariates == ()


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0", exclude_categories=("Cs",)), max_size=12)


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), order=st.permutations(COLUMNS[1:4]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_cell_holds_is_read_back(tmp_path, rows, order):
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([*order, "extra"])
    for index, cells in enumerate(rows):
        by_name = dict(zip(("image", "lung_mask", "split"), cells, strict=True))
        writer.writerow([*(by_name[name] if name != "image" else f"i{by_name[name]}" for name in order), str(index)])
    read = _read(tmp_path, stream.getvalue())
    assert [(row.image, row.lung_mask, row.split) for row in read] == [
        (f"i{image}".strip(), mask.strip(), split.strip()) for image, mask, split in rows
    ]
    assert [row.covariates for row in read] == [(("extra", str(index)),) for index in range(len(rows))]


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_table_or_one_line(tmp_path, content):
    try:
        _read(tmp_path, content)
    except DataError as error:
        assert "cases.csv" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("case_id,label\na,b\n", "line 1: no column named image"),
        ("case_id;image\na;b\n", "separate the columns by commas"),
        ("", "no column named image"),
        ("image\n", "no cases below"),
        ("image,image\na,b\n", "a name of its own"),
        ("image,\na,b\n", "a name of its own"),
        ("image,FEV1,fev1\na,b,c\n", "a name of its own"),
        ("image,label\na.nii\n", "line 2: 1 cells under 2 columns"),
        ("image\na.nii,b\n", "line 2: 2 cells under 1 columns"),
        ("image,label\n,mild\n", "line 2: the image cell is empty"),
        ("case_id,image\nx,a\ny,b\n\nx,c\n", "line 5: its case_id is also on line 2"),
        ('image\n"a.nii\n', "not valid CSV"),
        (b"image\n\xff\xfe\n", "not UTF-8"),
        ("image," + ",".join(f"imag{n}" for n in range(1001)), "1002 columns, at most 1000"),
        ("image,patient_id" + " " * 200 + "x._" + "." * 5000 + "\na,b\n", "did you mean patient_id"),
    ],
)
def test_malformed_tables(tmp_path, content, message):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, content)
    assert message in str(caught.value) and "cases.csv" in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("patientid", "patient_id"),
        ("Patient ID", "patient_id"),
        ("patient", "patient_id"),
        ("lable", "label"),
        ("lung_maks", "lung_mask"),
        ("lungs_mask", "lung_mask"),
        ("case id", "case_id"),
        ("splits", "split"),
    ],
)
def test_a_misspelt_column_is_no_covariate(tmp_path, column, meant):
    with pytest.raises(DataError, match=rf"cases\.csv, line 1: column '{column}': did you mean {meant}\?"):
        _read(tmp_path, f"image,{column}\na,b\n")


def test_a_misspelt_image_column_is_named(tmp_path):
    with pytest.raises(DataError, match=r"column 'imge': did you mean image\?"):
        _read(tmp_path, "case_id,imge\na,b\n")


def test_a_column_like_one_that_is_there_is_a_covariate_unless_it_is_the_same(tmp_path):
    (row,) = _read(tmp_path, "image,images,age,sex,site,patient_age,lobe_mask\na,3,61,f,x,60,m\n")
    assert [name for name, _ in row.covariates] == ["images", "age", "sex", "site", "patient_age"]
    with pytest.raises(DataError, match="did you mean patient_id"):
        _read(tmp_path, "image,patient_id,PatientID\na,P1,P1\n")


def test_missing_table(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_case_table(tmp_path / "cases.csv")
