"""NIfTI files: odd header fields, damaged bytes, damaged and bloated gzip streams."""

import gzip
import struct
from functools import cache
from pathlib import Path
from random import Random

import nibabel
import numpy as np
from fuzz.mutate import mutate_bytes, odd_float, odd_int
from fuzz.scan_path import SPACING_MM, run_scans
from fuzz.scratch import CANARY, Input, Target
from support.ct_files import chest_hu

from dcam_dist.ingest.images import read_image
from dcam_dist.ingest.scan import hu_digest

AFFINE = np.diag([-SPACING_MM[2], -SPACING_MM[1], SPACING_MM[0], 1.0])
MOST = 10**9
# name: place and type of the fields of both versions
FIELDS = {
    348: {
        **{"sizeof_hdr": (0, "i"), "dim_info": (39, "b"), "intent_code": (68, "h"), "datatype": (70, "h")},
        **{"bitpix": (72, "h"), "slice_start": (74, "h"), "vox_offset": (108, "f"), "scl_slope": (112, "f")},
        **{"scl_inter": (116, "f"), "slice_end": (120, "h"), "xyzt_units": (123, "b"), "cal_max": (124, "f")},
        **{"qform_code": (252, "h"), "sform_code": (254, "h"), "magic": (344, "4s"), "extender": (348, "4s")},
        **{f"dim{axis}": (40 + 2 * axis, "h") for axis in range(8)},
        **{f"pixdim{axis}": (76 + 4 * axis, "f") for axis in range(8)},
        **{f"quatern{axis}": (256 + 4 * axis, "f") for axis in range(6)},
        **{f"srow{place}": (280 + 4 * place, "f") for place in range(12)},
    },
    540: {
        **{"sizeof_hdr": (0, "i"), "magic": (4, "8s"), "datatype": (12, "h"), "bitpix": (14, "h")},
        **{"vox_offset": (168, "q"), "scl_slope": (176, "d"), "scl_inter": (184, "d"), "qform_code": (344, "i")},
        **{"sform_code": (348, "i"), "xyzt_units": (500, "i"), "intent_code": (504, "i"), "extender": (540, "4s")},
        **{f"dim{axis}": (16 + 8 * axis, "q") for axis in range(8)},
        **{f"pixdim{axis}": (104 + 8 * axis, "d") for axis in range(8)},
        **{f"srow{place}": (400 + 8 * place, "d") for place in range(12)},
    },
}
DATATYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
MAGICS = (b"n+1\0", b"ni1\0", b"n+2\0", b"\0\0\0\0", b"n+1\xff", b"n+9\0", b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")
OFFSETS = (0, 100, 348, 351, 352, 353, 356, 544, 1000, 10**6, 2**31 - 1, -352)


def prepare(folder: Path) -> None:
    """Write the valid files and read them once."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"int16": np.int16, "float32": np.float32, "float64": np.float64, "int32": np.int32}
    for name, kind in kinds.items():
        hu = chest_hu((12, 16, 20)).transpose(2, 1, 0).astype(kind)
        nibabel.save(nibabel.Nifti1Image(hu, AFFINE), folder / f"{name}.nii")
        big = nibabel.Nifti1Image(
            hu.astype(np.dtype(kind).newbyteorder(">")), AFFINE, nibabel.Nifti1Header(endianness=">")
        )
        nibabel.save(big, folder / f"{name}-big.nii")
    nibabel.save(nibabel.Nifti2Image(hu, AFFINE), folder / "second-2.nii")


def make(made: Input, base: Path) -> None:
    """One file: in half of the inputs a header of odd fields, in the others damaged bytes."""
    rng = made.rng
    bases = _bases(base)
    content = rng.choice(bases)
    compressed, way = rng.random() < 0.5, rng.random()
    if way < 0.55:
        content, made.mutation = _odd_header(rng, content)
    if not compressed:
        if way >= 0.55:
            content, made.mutation = mutate_bytes(rng, content, bases)
        (made.scans / f"{CANARY}.nii").write_bytes(content)
        return
    stored = _gzip(content)
    if way >= 0.7:
        stored, made.mutation = mutate_bytes(rng, stored, [_gzip(other) for other in bases])
        made.allowed_digests = _digests(base)
    elif way >= 0.55:
        stored, made.mutation = _odd_stream(rng, stored)
        made.allowed_digests = _digests(base)
    (made.scans / f"{CANARY}.nii.gz").write_bytes(stored)


def _odd_header(rng: Random, content: bytes) -> tuple[bytes, str]:
    header = bytearray(content)
    order = "<" if header[0] else ">"
    length = struct.unpack_from(f"{order}i", header)[0]
    fields, said = FIELDS[length], []
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        name = rng.choice(list(fields))
        place, kind = fields[name]
        value = _odd_value(rng, name, kind)
        struct.pack_into(order + kind, header, place, value)
        said.append(f"{name}={value}")
    if rng.random() < 0.1:
        header[length + 4 : length + 4] = struct.pack(f"{order}ii", odd_int(rng, 32), 6) + rng.randbytes(8)
        said.append("extension")
    if rng.random() < 0.15:
        del header[rng.randrange(len(header)) :]
        said.append("cut")
    return bytes(header), ", ".join(said)


def _odd_value(rng: Random, name: str, kind: str) -> int | float | bytes:
    if name == "datatype" and rng.random() < 0.8:
        return rng.choice(DATATYPES)
    if name == "vox_offset" and rng.random() < 0.8:
        return rng.choice(OFFSETS)
    if kind.endswith("s"):
        return rng.choice(MAGICS) if name == "magic" else rng.randbytes(4)
    if kind in "fd":
        return odd_float(rng)
    value = odd_int(rng, 8 * struct.calcsize(f"<{kind}"))
    return rng.choice((700, 900, 887, 1000)) if name.startswith("dim") and kind != "b" and rng.random() < 0.3 else value


def _odd_stream(rng: Random, stored: bytes) -> tuple[bytes, str]:
    """The stream cut, with further members behind it, or with gigabytes behind it in a few megabytes."""
    way = rng.randrange(6)
    if way == 0:
        return stored[: rng.randrange(len(stored))], "gzip cut"
    if way == 1:
        return stored[: -rng.randrange(1, 9)], "gzip cut in its checksum"
    if way == 2:
        return stored + _gzip(b"\0" * rng.randrange(1000)) + stored, "gzip members behind it"
    if way == 3:
        return stored + rng.randbytes(rng.randrange(1, 40)), "junk behind it"
    if way == 4:
        return stored[:-8] + rng.randbytes(8), "gzip of another checksum"
    return stored + _zeros() * rng.choice((1, 12)), "decompression bomb behind it"


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


@cache
def _zeros() -> bytes:
    return _gzip(bytes(256 << 20))


@cache
def _bases(folder: Path) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(folder.glob("*.nii")))


@cache
def _digests(folder: Path) -> frozenset[str]:
    files = (path for path in folder.glob("*.nii") if "-2" not in path.name)
    return frozenset(hu_digest(read_image(path, max_voxels=MOST).hu_DHW) for path in files)


TARGET = Target(prepare, make, run_scans)
