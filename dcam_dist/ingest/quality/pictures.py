"""Pictures on their way into the page: out of the cases' folders, or kept in the record of a case set aside."""

import base64
import binascii
from pathlib import Path

from dcam_dist.cohort.layout import CASES
from dcam_dist.ingest.identity import SAFE_ID
from dcam_dist.ingest.quality.montage import MONTAGE, montage_of_scan
from dcam_dist.ingest.scan import Scan

_LARGEST = 200_000


def picture_of(scan: Scan) -> str:
    """The picture of a scan that is set aside, in base64: what a person needs to see why."""
    return base64.b64encode(montage_of_scan(scan.hu_DHW, None, scan.geometry)).decode("ascii")


def stored_picture(cohort: Path, case_id: str) -> bytes:
    """The montage of a stored case; empty when there is none."""
    path = cohort / CASES / case_id / MONTAGE
    if not SAFE_ID.fullmatch(case_id) or not path.is_file() or path.stat().st_size > _LARGEST:
        return b""
    return path.read_bytes()


def kept_picture(picture: str) -> bytes:
    """What ``picture_of`` made; empty when there is none."""
    try:
        return base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError):
        return b""


def data_uri(picture: bytes) -> str:
    """A picture as a page holds it; empty when it is no WebP file."""
    if picture[:4] != b"RIFF" or picture[8:12] != b"WEBP":
        return ""
    return f"data:image/webp;base64,{base64.b64encode(picture).decode('ascii')}"
