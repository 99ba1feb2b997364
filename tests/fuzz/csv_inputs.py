"""Case tables: odd cells and columns, encodings, quotes, huge lines, damaged bytes, drawn tables."""

import csv
import io
from functools import cache
from pathlib import Path
from random import Random

from fuzz.mutate import ODD_NUMBERS, ODD_TEXTS, mutate_bytes
from fuzz.scan_path import SPACING_MM, run_scans
from fuzz.scratch import CANARY, Input, Target
from fuzz.strategies import SeededDraw
from hypothesis import strategies as st
from support.ct_files import chest_hu, geometry, lung_box, write_image

from dcam_dist.ingest.case_table import COLUMNS

SHAPE = (12, 16, 20)
IMAGES = ("a.nii", "b.nrrd", "empty", "notes.txt", "gone.nii", ".", "", "..", "a.nii/b", "a.nii\0", "../../etc/passwd")
IMAGES += (
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "//",
    "~",
    "$HOME",
    "a.nii ",
    "A.NII",
    "x" * 300,
    "x/" * 2000,
    CANARY,
)
CELLS = {
    "case_id": ("c1", "c2", "c1", CANARY, f"{CANARY}^Jörg", "../c1", ".hidden", "CON", "-rf", "c1/c2", "x" * 65, ""),
    "image": IMAGES,
    "lung_mask": ("mask.nrrd", "", "a.nii", "gone.nii", "notes.txt", *IMAGES[7:]),
    "split": ("train", "test", "", "Train", "validation", "ｔrain"),
    "label": ("absent", "0", "5", "6", "-1", "", "mild_", "٣", "Confluent", "1e0"),
    "patient_id": (CANARY, f"{CANARY}2", "", "p1"),
    "age": ("61", "=1+1", "@SUM(A1)", CANARY),
}
COLUMN_NAMES = (
    *COLUMNS,
    *COLUMNS,
    "age",
    "fev1",
    "Image",
    "image ",
    "lungmask",
    "lesion_mask",
    "",
    "case-id",
    "x" * 300,
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "cp037", "utf-7")
CELL = st.one_of(
    st.sampled_from([cell for cells in CELLS.values() for cell in cells]),
    st.text(max_size=40),
    st.text(alphabet='",\r\n\t;\0 \ufeff', max_size=8),
)
TABLES = st.tuples(
    st.lists(st.one_of(st.sampled_from(COLUMN_NAMES), CELL), min_size=0, max_size=9),
    st.lists(st.lists(CELL, max_size=9), max_size=8),
    st.sampled_from([",", ",", ",", ";", "\t", "|"]),
)


def prepare(folder: Path) -> None:
    """Write the files that a valid table names."""
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / "a.nii", chest_hu(SHAPE), geometry(SHAPE, SPACING_MM))
    write_image(folder / "b.nrrd", chest_hu(SHAPE, 1), geometry(SHAPE, SPACING_MM))
    write_image(folder / "mask.nrrd", lung_box(SHAPE), geometry(SHAPE, SPACING_MM))


def make(made: Input, base: Path) -> None:
    """The files, and a table that does not fit them."""
    rng = made.rng
    for path in _files(base):
        (made.scans / path.name).hardlink_to(path)
    (made.scans / "empty").mkdir()
    (made.scans / "notes.txt").write_text("no scan", encoding="utf-8")
    way = rng.random()
    if way < 0.4:
        content, made.mutation = _odd_cells(rng), "odd cells"
    elif way < 0.65:
        content, made.mutation = _written(*_draw()(rng)), "drawn table"
    elif way < 0.9:
        content, made.mutation = mutate_bytes(rng, _odd_cells(rng, odd=0.05), [_odd_cells(rng)])
    else:
        content, made.mutation = rng.choice(_TRAPS)(rng).encode("utf-8", "surrogatepass"), "trap"
    (made.scans / "cases.csv").write_bytes(content)


def run(made: Input) -> None:
    """As every scan; few voxels are read, for what is tried is the table."""
    run_scans(made, reading=0.1)


def _odd_cells(rng: Random, odd: float = 0.3) -> bytes:
    columns = [name for name in CELLS if name == "image" or rng.random() < 0.6]
    if rng.random() < odd:
        columns.insert(rng.randrange(len(columns) + 1), rng.choice(COLUMN_NAMES))
    rows = [
        [
            rng.choice((*CELLS.get(name, ("",)), *ODD_TEXTS, *ODD_NUMBERS)) if rng.random() < odd else _good(name, row)
            for name in columns
        ]
        for row in range(rng.choice((1, 2, 4)))
    ]
    for row in rows:
        if rng.random() < odd / 5:
            row.append("further") if rng.random() < 0.5 else row.pop()
    rng.shuffle(columns) if rng.random() < odd / 3 else None
    return _written(
        columns, rows, rng.choice((",", ",", ",", ";")), rng.choice(ENCODINGS) if rng.random() < odd else "utf-8"
    )


def _good(name: str, row: int) -> str:
    cells = CELLS.get(name, ("",))
    return f"c{row}" if name == "case_id" else cells[row % min(2, len(cells))]


def _written(columns: list[str], rows: list[list[str]], separator: str, encoding: str = "utf-8") -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_MINIMAL)
    try:
        writer.writerows([columns, *rows])
    except csv.Error:
        stream.write("\n".join(separator.join(row) for row in [columns, *rows]))
    return stream.getvalue().encode(
        encoding, "surrogatepass" if encoding.startswith("utf") and encoding != "utf-7" else "replace"
    )


_TRAPS = (
    lambda rng: "image\n" + '"' * rng.choice((1, 3, 100_001)),
    lambda rng: "image\n" + "x" * rng.choice((131_072, 131_073, 3 * 10**6)),
    lambda rng: ",".join(f"c{n}" for n in range(rng.choice((1000, 200_000)))) + "\na.nii",
    lambda rng: "image," + ",".join(f"imag{n:06}" for n in range(rng.choice((500, 50_000)))) + "\na.nii",
    lambda rng: "image\n" + "a.nii\n" * rng.choice((3, 3000)),
    lambda rng: "image\n" + "\n" * rng.choice((1000, 10**6)) + "a.nii",
    lambda rng: "image\r" + "a.nii\r" * 3,
    lambda rng: "patient_id" + " ._-" * rng.choice((10, 30_000)) + ",image\n1,a.nii",
    lambda rng: f"{CANARY},image\n{CANARY},a.nii\n{CANARY},a.nii\n",
    lambda rng: f"case_id,image\n{CANARY},a.nii\n{CANARY},b.nrrd\n",
    lambda rng: f"case_id,image\n{CANARY}/,a.nii\n",
    lambda rng: f"image,patient_id,split\na.nii,{CANARY},train\nb.nrrd,{CANARY},test\n",
    lambda rng: "image\n" + "\0" * rng.choice((1, 1000)),
    lambda rng: "\ufeff\ufeffimage\na.nii\n",
    lambda rng: 'image,"a\nb"\n"a.nii","c\r\nd"\n',
    lambda rng: f"image\n{CANARY}.nii\n{'../' * 40}etc/passwd\n",
)


@cache
def _files(base: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in base.iterdir() if path.is_file()))


@cache
def _draw() -> SeededDraw:
    return SeededDraw(TABLES)


TARGET = Target(prepare, make, run)
