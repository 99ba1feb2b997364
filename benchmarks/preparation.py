"""A scan from DICOM files to training data, once by ingest and once by MONAI's usual transforms."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from dcam_dist.config import Config
from dcam_dist.ingest import ingest
from dcam_dist.types import CaseRecord

MARGIN_MM = 5.0
"""Around the lungs, as ingest's default."""


@dataclass(frozen=True, eq=False)
class Bench:
    """One scan and what both sides need.

    Attributes:
        folder: The DICOM series.
        mask: Its lungs, an image on the scan's grid.
        record: The case as ingest made it; its grid gives MONAI's voxel size.
        config: Of ingest.
        scratch: Where both write.
    """

    folder: Path
    mask: Path
    record: CaseRecord
    config: Config
    scratch: Path


def ingest_once(bench: Bench, mask: Path | None) -> Path:
    """Ingest the scan into a new cohort, in this process."""
    out = fresh_path(bench.scratch / "out", ".zarr")
    lungs = "" if mask is None else str(mask)
    source = fresh_path(bench.scratch / "table", ".csv")
    source.write_text(f"case_id,image,lung_mask,split\nscan,{bench.folder},{lungs},train\n", encoding="utf-8")
    summary = ingest([source], out, config=bench.config)
    if summary.accepted != 1:
        raise RuntimeError(f"the scan was set aside: {[entry.reason for entry in summary.quarantined]}")
    return out


def monai_once(bench: Bench, *, given: bool) -> tuple[Any, Any]:
    """MONAI's preparation of the scan with a pipeline of its own."""
    return monai_preparation(bench, given=given)()


def monai_preparation(bench: Bench, *, given: bool) -> Callable[[], tuple[Any, Any]]:
    """MONAI's preparation: prepares, writes and returns image and mask (``None`` if not given), (x, y, z)."""
    pipeline = _pipeline(bench, given=given)

    def prepare() -> tuple[Any, Any]:
        made = pipeline({"image": str(bench.folder), "mask": str(bench.mask)})
        out = fresh_path(bench.scratch / "monai", "")
        out.mkdir()
        image, mask = made["image"].numpy()[0], made["mask"].numpy()[0].astype(np.uint8) if given else None
        np.save(out / "image.npy", image)
        if mask is not None:
            np.save(out / "mask.npy", mask)
        return image, mask

    return prepare


def _pipeline(bench: Bench, *, given: bool) -> Callable[[dict[str, str]], Any]:
    mt = peers.find("monai.transforms", "nibabel")
    assert mt is not None
    keys = ["image", "mask"] if given else ["image"]
    margin = [round(MARGIN_MM / step) for step in bench.record.scan.spacing_mm[::-1]]
    by = {"source_key": "mask"} if given else {"source_key": "image", "select_fn": _body}
    with peers.quiet():
        steps = [
            mt.LoadImaged(keys="image", reader="PydicomReader"),
            *([mt.LoadImaged(keys="mask", reader="NibabelReader")] if given else []),
            mt.EnsureChannelFirstd(keys=keys),
            mt.Orientationd(keys=keys, axcodes="LPS"),  # both files on the same axes, so that one crop fits both
            mt.CropForegroundd(keys=keys, margin=margin, allow_smaller=True, **by),
            mt.Spacingd(
                keys=keys, pixdim=bench.record.grid.spacing_mm[::-1], mode=["bilinear", "nearest"][: len(keys)]
            ),
        ]
        return mt.Compose(steps)  # type: ignore[no-any-return]


def _body(image: Any) -> Any:
    return image > -500


_NUMBERS = count()


def fresh_path(path: Path, suffix: str) -> Path:
    """A path that was not used before; what an earlier round left is removed, outside no one's clock but cheaply."""
    for old in path.parent.glob(f"{path.name}-*{suffix}"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    return path.with_name(f"{path.name}-{next(_NUMBERS)}{suffix}")
