"""NRRD and MetaImage files, whole and with the voxels in a file of their own: odd headers, damaged bytes."""

import re
from functools import cache
from pathlib import Path
from random import Random

from fuzz.mutate import ODD_NUMBERS, ODD_TEXTS, mutate_bytes
from fuzz.scan_path import SPACING_MM, run_scans
from fuzz.scratch import CANARY, Input, Target
from support.ct_files import chest_hu, geometry, write_image

from dcam_dist.ingest.images import image_files, read_image
from dcam_dist.ingest.scan import hu_digest

MOST = 10**9
SHAPE = (12, 16, 20)
SECRET_SEED = 7
"""Of a scan outside of the folder that is read; nothing may be read from it."""
FIELDS = {
    "NRRD": {
        "type": ("short", "int", "float", "double", "uchar", "block", "unsigned short", "int64", "long"),
        "dimension": ("1", "2", "3", "4", "16", "17", "0", "-3"),
        "sizes": (
            "20 16 12",
            "20 16 -12",
            "1 1 1",
            "900 900 850",
            "32767 32767 32767",
            "20 16",
            "3840 1 1",
            "20 16 12 1",
        ),
        "encoding": ("raw", "gzip", "gz", "bzip2", "ascii", "text", "hex", "RAW", "zrl"),
        "endian": ("little", "big", "middle", ""),
        "space": ("LPS", "RAS", "scanner-xyz", "left-posterior-superior-time", "3D-right-handed", "?"),
        "space dimension": ("3", "4", "0"),
        "space directions": (
            "none (0,2,0) (0,0,3)",
            "(nan,0,0) (0,2,0) (0,0,3)",
            "(0,0,0) (0,0,0) (0,0,0)",
            "(inf,0,0) (0,2,0) (0,0,3)",
        ),
        "space origin": ("(nan,0,0)", "(1e308,1e308,1e308)", "(0,0)", "none"),
        "spacings": ("1 1 1", "nan nan nan", "-1 0 inf", "0 0 0"),
        "kinds": ("domain domain domain", "RGB-color domain domain", "vector domain domain", "list list list"),
        "byte skip": ("-1", "-2", "10", "99999999999", "0"),
        "line skip": ("0", "1", "-1", "99999999"),
        "data file": (
            "../SECRET",
            "/etc/passwd",
            "LIST\n../SECRET",
            "%d.raw 1 3 1",
            "%s%n%s%n 1 3 1",
            "/dev/zero",
            ".",
        ),
        "block size": ("2", "-1", "999999999999"),
        "measurement frame": ("(1,0,0) (0,1,0) (0,0,1)", "(nan"),
        "old min": ("nan",),
        "content": ("A" * 70000, "%n%n%n", "\\n\\n", "A" * 999),
        "kinds ": ("A" * 120, "domain " * 17),
    },
    "META": {
        "NDims": ("1", "2", "3", "4", "10", "11", "0", "-3", "1000"),
        "DimSize": ("20 16 12", "20 16 -12", "1 1 1", "900 900 850", "32767 32767 32767", "20 16", "20 16 12 1"),
        "ElementType": ("MET_SHORT", "MET_INT", "MET_DOUBLE", "MET_UCHAR", "MET_OTHER", "MET_LONG", "MET_SHORT_ARRAY"),
        "ElementNumberOfChannels": ("1", "0", "-1", "3", "99999"),
        "CompressedData": ("True", "False", "true", "1", "maybe"),
        "CompressedDataSize": ("0", "-1", "1000", "99999999999", "2000000000"),
        "BinaryData": ("True", "False"),
        "BinaryDataByteOrderMSB": ("True", "False"),
        "HeaderSize": ("-1", "0", "10", "99999999999", "-2"),
        "ElementSpacing": ("2 2 3", "nan nan nan", "-1 0 inf", "0 0 0", "1"),
        "TransformMatrix": (
            "1 0 0 0 1 0 0 0 1",
            "0 0 0 0 0 0 0 0 0",
            "nan 0 0 0 1 0 0 0 1",
            "inf 0 0 0 1 0 0 0 inf",
            "1e999 0 0 0 1e300 0 0 0 1",
            "2 0 0 0 1 0 0 0 1",
        ),
        "Offset": ("nan 0 0", "1e308 1e308 1e308", "1"),
        "ElementDataFile": (
            "../SECRET",
            "/etc/passwd",
            "LIST",
            "LIST 3\n../SECRET",
            "%d.raw 1 3 1",
            "LOCAL",
            "/dev/zero",
        ),
        "ObjectType": ("Image", "Tube", "Scene", "A" * 3000),
        "ElementToIntensityFunctionSlope": ("nan", "1e308", "0"),
        "Comment": ("A" * 5000, "%n%n%n", "A" * 499, "1 " * 240),
        "A" * 300: ("1",),
    },
}
SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")


def prepare(folder: Path) -> None:
    """Write the valid files."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in SUFFIXES:
        for compressed in (False, True):
            own = folder / f"{suffix[1:]}{compressed:d}"
            own.mkdir(exist_ok=True)
            write_image(own / f"{CANARY}{suffix}", chest_hu(SHAPE), geometry(SHAPE, SPACING_MM), compressed=compressed)
    write_image(folder / "secret.mhd", chest_hu(SHAPE, SECRET_SEED), geometry(SHAPE, SPACING_MM), compressed=False)


def make(made: Input, base: Path) -> None:
    """One image of one or two files."""
    rng = made.rng
    suffix, compressed = rng.choice(SUFFIXES), rng.random() < 0.5
    files = _files(base / f"{suffix[1:]}{compressed:d}")
    (made.folder / "secret.raw").write_bytes(_secret(base)[0])
    header, *data = sorted(files, key=lambda name: not name.endswith(suffix))
    kind = "NRRD" if suffix in (".nrrd", ".nhdr") else "META"
    way = rng.random()
    written = dict(files)
    if way < 0.6:
        written[header], made.mutation = _odd_header(rng, files[header], kind)
    elif way < 0.75:
        written[header], made.mutation = mutate_bytes(rng, files[header], [])
    else:
        victim = rng.choice(data) if data else header
        first = 0 if data else _header_length(files[header], kind)
        written[victim], made.mutation = mutate_bytes(rng, files[victim], [files[header]], first=first)
        if compressed:
            made.allowed_digests = _secret(base)[2]
    if not made.allowed_digests and rng.random() < 0.05 and data:
        del written[data[0]]
        made.mutation += ", data file gone"
    for name, content in written.items():
        (made.scans / name).write_bytes(content)
    made.mutation = f"{suffix}{'z' if compressed else ''}: {made.mutation}"


def run(made: Input) -> None:
    """As every scan, but the one outside must not be read."""
    run_scans(made)
    if _secret(made.folder.parent / "base")[1] in made.digests:
        made.problems.append("voxels of a file outside of the folder were read")


def _odd_header(rng: Random, content: bytes, kind: str) -> tuple[bytes, str]:
    length = _header_length(content, kind)
    lines, said = content[:length].decode("latin-1").split("\n"), []
    last = len(lines) - 2  # empty lines end an NRRD header, the name of the data file a MetaImage one
    for _ in range(rng.choice((1, 1, 2, 3))):
        change = rng.choice((_set_field, _set_field, _set_field, _odd_number, _odd_line, _drop_or_double))
        said.append(change(rng, lines, rng.randrange(1 if kind == "NRRD" else 0, max(2, last)), kind))
    if rng.random() < 0.1:
        lines = [f"{line}\r" for line in lines]
        said.append("CRLF")
    return "\n".join(lines).encode("utf-8", "surrogatepass") + content[length:], ", ".join(said)


def _set_field(rng: Random, lines: list[str], place: int, kind: str) -> str:
    name, values = rng.choice(list(FIELDS[kind].items()))
    value = rng.choice((*values, rng.choice(ODD_NUMBERS), rng.choice(ODD_TEXTS))).replace("SECRET", "secret.raw")
    line = f"{name}{': ' if kind == 'NRRD' else ' = '}{value}"
    there = [index for index, old in enumerate(lines) if old.startswith((f"{name}:", f"{name} ="))]
    if there and rng.random() < 0.9:
        lines[there[0]] = line
    else:
        lines.insert(place, line)
    return line[:60]


def _odd_number(rng: Random, lines: list[str], place: int, _: str) -> str:
    numbers = list(re.finditer(r"-?\d+(\.\d+)?", lines[place]))
    if numbers:
        found, value = rng.choice(numbers), rng.choice(ODD_NUMBERS)
        lines[place] = lines[place][: found.start()] + value + lines[place][found.end() :]
    return lines[place][:60]


def _odd_line(rng: Random, lines: list[str], place: int, kind: str) -> str:
    sign = ": " if kind == "NRRD" else " = "
    text = rng.choice(ODD_TEXTS)
    line = rng.choice((f"# {text}", f"key:={text}", f"{text}{sign}1", text, f"unknown{sign}{text}", "=", "A" * 100000))
    many = rng.choice((1, 1, 1, 1000, 20000)) if len(line) < 20 else 1
    lines[place:place] = [line] * many
    return f"{many} lines {line[:30]!r}"


def _drop_or_double(rng: Random, lines: list[str], place: int, _: str) -> str:
    line = lines[place]
    if rng.random() < 0.5:
        del lines[place]
        return f"without {line[:30]!r}"
    lines.insert(rng.randrange(len(lines)), line)
    return f"twice {line[:30]!r}"


def _header_length(content: bytes, kind: str) -> int:
    match = re.search(rb"\n\n" if kind == "NRRD" else rb"ElementDataFile.*\n", content)
    return match.end() if match else len(content)


@cache
def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@cache
def _secret(base: Path) -> tuple[bytes, str, frozenset[str]]:
    """Voxels and digest of the scan outside, and the digest of the one inside."""
    header = base / "secret.mhd"
    inside = read_image(base / "mha0" / f"{CANARY}.mha", max_voxels=MOST)
    outside = read_image(header, max_voxels=MOST)
    return image_files(header)[1].read_bytes(), hu_digest(outside.hu_DHW), frozenset({hu_digest(inside.hu_DHW)})


TARGET = Target(prepare, make, run)
