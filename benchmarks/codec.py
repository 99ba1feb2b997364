"""Which codec and chunk size the store should have: size, and speed of writing, of a whole volume and of a patch.

    python -m benchmarks run codec --out DIR [--profile cpu|cpu-smoke] [--cores N] [--repeats N]

On whole real CTs, against what the store does now. The rule: of the codecs whose reading speed is at least 0.8 of the
fastest one's, for a whole volume and for a patch, and whose writing speed is at least half of the present one's, or
ingest would pay for it, the smallest; of the chunk sizes, the one that reads a whole volume and a patch with the
highest geometric mean of speeds. Codecs are compared in the store's chunks, chunk sizes with the store's codec.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from benchmarks.harness import Measured, Options, Series, Timed, interleave
from benchmarks.report import number, table
from benchmarks.scans import CASE, LIDC, LUNG_DX_SHARP, WholeScan, whole_scan, write_cohort
from dcam_dist.cohort.layout import CASES, NATIVE_LEVEL
from dcam_dist.cohort.writer import even_chunks

FAST_ENOUGH = 0.8
WRITES_FAST_ENOUGH = 0.5
PATCHES = 4
WRITE_REPEATS = 3
AS_STORED = "as the store does"

Shape = tuple[int, int, int]


def _blosc(name: str, level: int, shuffle: str, block: int = 0) -> Any:
    return BloscCodec(cname=name, clevel=level, shuffle=shuffle, blocksize=block)  # type: ignore[arg-type]


CODECS: Mapping[str, Any] = {
    **{
        f"blosc {name}-{level} {how}": _blosc(name, level, how)
        for name, level in (("zstd", 1), ("zstd", 3), ("zstd", 5), ("lz4", 5), ("lz4hc", 5))
        for how in ("bitshuffle", "shuffle")
    },
    **{f"blosc zstd-{level} bitshuffle, 1 MiB blocks": _blosc("zstd", level, "bitshuffle", 2**20) for level in (1, 3)},
    "blosc lz4hc-1 bitshuffle": _blosc("lz4hc", 1, "bitshuffle"),
    **{f"zstd-{level}": ZstdCodec(level=level) for level in (0, 1, 3, 5)},
    "gzip-5": GzipCodec(level=5),
}


def cubes(shape: Shape, edge: int) -> Shape:
    """Cubes of an edge length, no longer than the volume; the last one of an axis is padded to a whole one."""
    z, y, x = (min(edge, size) for size in shape)
    return z, y, x


CHUNKS: Mapping[str, Callable[[Shape], Shape]] = {
    **{f"{edge}³": partial(cubes, edge=edge) for edge in (64, 96, 128, 192)},
    **{f"about {edge}³, even": partial(even_chunks, edge=edge) for edge in (64, 96, 128, 192)},
    "whole": lambda shape: shape,
}


@dataclass(frozen=True)
class Candidate:
    """One way to store a volume, and what it came to."""

    name: str
    bytes: int
    write: Series
    whole: Series
    patch: Series


def codec(options: Options) -> Measured:
    """Every codec with the store's chunks, and every chunk size with the store's codec."""
    series: list[Series] = []
    tables: dict[str, str] = {}
    notes: list[str] = []
    details: dict[str, Any] = {}
    config: dict[str, Any] = {"checksum": "crc32c", "shard": "one a volume"}
    for archive in (LIDC, LUNG_DX_SHARP):
        scan = whole_scan(options, archive)
        store = _stored_array(scan, options.scratch / f"cohort-{archive[1]}")
        config |= {
            archive[1]: scan.geometry.shape,
            "store's codec": _spelled(store.compressors[0]),
            "store's chunks": store.chunks,
        }
        codecs = {AS_STORED: store.compressors[0], **CODECS}
        chunks = {AS_STORED: store.chunks, **{name: cut(scan.geometry.shape) for name, cut in CHUNKS.items()}}
        sets = (
            ("codec", {name: (codec, store.chunks) for name, codec in codecs.items()}, best_codec),
            ("chunks", {name: (store.compressors[0], shape) for name, shape in chunks.items()}, best_chunks),
        )
        for question, ways, best in sets:
            found = _measure(scan.hu_DHW, ways, options)
            heading = f"{scan.origin}, {archive[1]}: {question}"
            tables[heading] = _table(found, scan.hu_DHW.nbytes)
            notes.append(f"{heading}: the rule gives {best(found)}.")
            details[heading] = {"bytes": {one.name: one.bytes for one in found}, "chosen": best(found)}
            series += [one for each in found for one in _named(each, f"{heading}, {each.name}")]
    title = "Codec and chunk size of the store"
    return Measured(title, config, tuple(series), notes=tuple(notes), details=details, tables=tables)


def best_codec(found: list[Candidate]) -> str:
    """The smallest of those that read and write fast enough."""
    write = next(one.write.median for one in found if one.name == AS_STORED)
    whole, patch = (min(getattr(one, what).median for one in found) for what in ("whole", "patch"))
    fast = [
        one
        for one in found
        if min(whole / one.whole.median, patch / one.patch.median) >= FAST_ENOUGH
        and write / one.write.median >= WRITES_FAST_ENOUGH
    ]
    return min(fast or found, key=lambda one: one.bytes).name


def best_chunks(found: list[Candidate]) -> str:
    """The highest geometric mean of the two reading speeds."""
    return min(found, key=lambda one: one.whole.median * one.patch.median).name


def _stored_array(scan: WholeScan, path: Path) -> Any:
    """The scan's array as the store writes it."""
    cohort = write_cohort(scan, path)
    return zarr.open_array(cohort.path, path=f"{CASES}/{CASE}/{NATIVE_LEVEL}", mode="r")


def _spelled(codec: Any) -> str:
    tree = codec.to_dict()
    return " ".join([tree["name"], *(f"{key}={value}" for key, value in tree.get("configuration", {}).items())])


def _measure(hu_DHW: NDArray[np.int16], ways: Mapping[str, tuple[Any, Shape]], options: Options) -> list[Candidate]:
    paths = {name: options.scratch / f"{index}.zarr" for index, name in enumerate(ways)}
    writers: dict[str, Timed] = {
        name: partial(_write, paths[name], hu_DHW, codec, chunks) for name, (codec, chunks) in ways.items()
    }
    write = interleave(writers, min(WRITE_REPEATS, options.repeats), options.seed)
    arrays = {name: zarr.open_array(path, mode="r") for name, path in paths.items()}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array[...], hu_DHW, err_msg=name)
    whole = interleave({name: _whole(array) for name, array in arrays.items()}, options.repeats, options.seed)
    boxes = _boxes(hu_DHW.shape, options)
    patch = interleave({name: _patches(array, boxes) for name, array in arrays.items()}, options.repeats, options.seed)
    sizes = {name: sum(f.stat().st_size for f in path.rglob("c/**/*") if f.is_file()) for name, path in paths.items()}
    for path in paths.values():
        shutil.rmtree(path)
    return [Candidate(name, sizes[name], write[name], whole[name], patch[name]) for name in ways]


def _write(path: Path, hu_DHW: NDArray[np.int16], codec: Any, chunks: Shape) -> None:
    """As the store writes a volume: one shard, crc32c on every chunk."""
    shards = tuple(-(-size // chunk) * chunk for size, chunk in zip(hu_DHW.shape, chunks, strict=True))
    zarr.create_array(
        path,
        data=hu_DHW,
        chunks=chunks,
        shards=shards,
        compressors=[codec, Crc32cCodec()],
        config={"write_empty_chunks": True},
        overwrite=True,
    )


def _whole(array: Any) -> Timed:
    return lambda: array[...]


def _patches(array: Any, boxes: list[tuple[slice, ...]]) -> Timed:
    return lambda: [array[box] for box in boxes]


def _boxes(shape: tuple[int, ...], options: Options) -> list[tuple[slice, ...]]:
    edge = 32 if options.smoke else 128
    limits = [max(size - edge, 0) + 1 for size in shape]
    starts = np.random.default_rng(options.seed).integers(0, limits, (PATCHES, 3)).tolist()
    return [tuple(slice(first, first + edge) for first in start) for start in starts]


def _named(candidate: Candidate, name: str) -> list[Series]:
    """The three series under names that are unique over the whole result."""
    return [
        Series(f"{name}, {what}", one.unit, one.samples, one.cpu_s)
        for what, one in (
            ("write", candidate.write),
            ("whole", candidate.whole),
            (f"{PATCHES} patches", candidate.patch),
        )
    ]


def _table(found: list[Candidate], raw_bytes: int) -> str:
    rows = []
    for one in sorted(found, key=lambda one: one.bytes):
        whole, write = (raw_bytes / series.median / 1e6 for series in (one.whole, one.write))
        patch_ms = 1e3 * one.patch.median / PATCHES
        size = [f"{one.bytes / 1e6:.1f}", f"{raw_bytes / one.bytes:.2f}"]
        cpu = [number(1e3 * math.fsum(s.cpu_s) / len(s.cpu_s) / k) for s, k in ((one.whole, 1), (one.patch, PATCHES))]
        rows.append([one.name, *size, number(write), number(whole), cpu[0], number(patch_ms), cpu[1]])
    head = ["", "MB", "ratio", "write MB/s", "read MB/s", "its CPU ms", "128³ patch ms", "its CPU ms"]
    return table(head, rows)
