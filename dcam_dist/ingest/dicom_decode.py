"""Compressed DICOM frames, decoded by one process a series that has limits on memory, processor and wall time."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import dcam_dist
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_decoder import OUT_OF_MEMORY
from dcam_dist.ingest.dicom_headers import SliceHeader

_DECODER = "dcam_dist.ingest.dicom_decoder"
_PACKAGE_PARENT = Path(dcam_dist.__file__).parents[1]
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"
)
"""Every thread reserves address space, which is what the memory limit counts."""


def decode_frames(headers: Sequence[SliceHeader], config: IngestConfig) -> Generator[bytes, None, None]:
    """Decode compressed slices in the given order; no process is started where there are none.

    Args:
        headers: Slices or frames with compressed pixels.
        config: ``decode_timeout_s`` and ``decode_memory_gb``.

    Yields:
        The stored values of each slice: raw, little-endian, of the allocated bits.

    Raises:
        CaseRejected: ``unreadable`` when the process fails, crashes or reaches one of its limits.
    """
    if not headers:
        return
    job = {
        "memory_bytes": int(config.decode_memory_gb * 1e9),
        "cpu_seconds": config.decode_timeout_s,
        "frames": [_frame(header) for header in headers],
    }
    with tempfile.TemporaryFile() as request:
        request.write(json.dumps(job).encode("ascii"))
        request.seek(0)
        yield from _run(request, [int(header.frame_bytes) for header in headers], config)


def _run(request: Any, sizes: Sequence[int], config: IngestConfig) -> Generator[bytes, None, None]:
    process = subprocess.Popen(
        [sys.executable, "-m", _DECODER],
        stdin=request,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_PACKAGE_PARENT,
        env={**os.environ, **_ONE_THREAD},
        start_new_session=True,
    )
    late = threading.Event()
    timer = threading.Timer(config.decode_timeout_s, _stop_late, (process, late))
    timer.daemon = True
    timer.start()
    try:
        for number, size in enumerate(sizes):
            values = process.stdout.read(size) if process.stdout else b""
            if len(values) < size:
                raise CaseRejected(Reason.UNREADABLE, _what_failed(process, number, config, late=late.is_set()))
            yield values
    finally:
        timer.cancel()
        _kill(process)
        process.communicate()


def _what_failed(process: subprocess.Popen[bytes], number: int, config: IngestConfig, *, late: bool) -> str:
    code = process.wait(timeout=config.decode_timeout_s)
    if late or code == -signal.SIGXCPU:
        return f"decoding took longer than {config.decode_timeout_s} s (ingest.decode_timeout_s)"
    if code == OUT_OF_MEMORY:
        return f"decoding needs more than {config.decode_memory_gb:g} GB (ingest.decode_memory_gb)"
    return f"the compressed pixels of slice {number} cannot be decoded"


def _stop_late(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it may have started; it leads a group of its own."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _frame(header: SliceHeader) -> dict[str, Any]:
    return {
        "path": os.path.abspath(header.path),  # noqa: PTH100 - links are left as they are
        "fragments": frame_fragments(header),
        "syntax": header.syntax,
        "rows": int(header.rows),
        "columns": int(header.columns),
        "bits": int(header.bits),
        "bits_stored": int(header.bits_stored or header.bits),
        "signed": int(header.signed == 1),
    }


def frame_fragments(header: SliceHeader) -> list[tuple[int, int]]:
    """Offset and length of the fragments of one frame.

    Raises:
        CaseRejected: ``unreadable`` when several frames share out the fragments in no known way.
    """
    fragments = list(header.pixels.fragments) if header.pixels else []
    starts = header.pixels.frame_starts if header.pixels else ()
    frames, index = max(int(header.frames), 1), header.frame or 0
    if frames == 1:
        return fragments
    if len(fragments) == frames:
        return [fragments[index]]
    if len(starts) != frames or not fragments:
        raise CaseRejected(Reason.UNREADABLE, "the compressed frames cannot be told apart (no offset table)")
    first = fragments[0][0] - 8  # starts count from the first fragment's item tag
    end = starts[index + 1] if index + 1 < frames else float("inf")
    return [part for part in fragments if starts[index] <= part[0] - 8 - first < end]
