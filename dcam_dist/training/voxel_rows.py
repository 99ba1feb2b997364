"""From a cohort to rows that can be clustered: what of its voxels goes to the disk, where to, and whether it fits."""

import hashlib
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dcam_dist.cohort.stage import expanded_folder
from dcam_dist.config import Config
from dcam_dist.distributed import ranks_of
from dcam_dist.errors import EnvironmentFault
from dcam_dist.training.together import together
from dcam_dist.training.voxel_store import VoxelWriter, ZarrRows, stored_bytes
from dcam_dist.training.voxels import CaseVoxels, Cells, VoxelSource, block_of, cells_of, drawn_cells, visit_voxels

GB = 1e9

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StoredVoxels:
    """Features of voxels on the disk.

    Attributes:
        rows: This rank's.
        total: Rows of all ranks.
    """

    rows: ZarrRows
    total: int


@contextmanager
def stored_voxels(source: VoxelSource, case_ids: Sequence[str], out: Path) -> Iterator[StoredVoxels]:
    """Write the features of the cases' voxels, each rank those of its block of cases; they are removed at the end.

    All ranks call together. With ``patterns.voxels_per_case`` only so many voxels of each case are taken, with
    ``patterns.keep_features`` the files stay.

    Args:
        source: Network and volumes.
        case_ids: The cases of all ranks.
        out: Where they are put unless ``patterns.scratch`` says otherwise.

    Raises:
        EnvironmentFault: When a disk has not the room, before anything is written, or refuses.
        DataError: When a stored volume is damaged.
        FailedElsewhere: When another rank has failed.
    """
    config, context, channels = source.config, source.context, source.network.body.channels
    rows_of_case = together(partial(_count, source, case_ids), context)
    folder = together(partial(scratch_folder, config, out), context)
    mine = sum(rows_of_case.values())
    rank_rows = ranks_of(context).all_rows(np.array([[zlib.crc32(context.node.encode()), mine]], dtype=np.int64))
    total, here = int(rank_rows[:, 1].sum()), int(rank_rows[rank_rows[:, 0] == rank_rows[context.rank, 0], 1].sum())
    features = stored_bytes(total if config.patterns.scratch is None else here, channels)
    points = 4 * here * _axes(config, channels)
    together(partial(check_room, {folder: features, Path(tempfile.gettempdir()): points}, total), context)
    if context.is_main:
        log.info("features of %d voxels, %.3g GB, under %s", total, stored_bytes(total, channels) / GB, folder)
    store = folder / f"rank-{context.rank:04d}.zarr"
    try:
        yield StoredVoxels(_extract(source, case_ids, store, rows_of_case), total)
    finally:
        if not config.patterns.keep_features:
            shutil.rmtree(store, ignore_errors=True)
            with suppress(OSError):  # another rank's files may still be there
                folder.rmdir()


def scratch_folder(config: Config, out: Path) -> Path:
    """Where the features of a clustering into ``out`` go.

    Raises:
        UsageError: When ``patterns.scratch`` names a variable that is not set.
    """
    if config.patterns.scratch is None:
        return out.absolute() / "voxels"
    name = hashlib.sha256(os.fsencode(out.absolute())).hexdigest()[:16]
    return expanded_folder(config.patterns.scratch, "patterns.scratch") / f"dcam-voxels-{name}"


def check_room(needed: Mapping[Path, int], voxels: int) -> None:
    """Refuse when a disk has not so many bytes free; folders on one disk are taken together.

    Args:
        needed: Bytes by folder, there or not.
        voxels: For the message.

    Raises:
        EnvironmentFault: Says what is needed and what is free.
    """
    of_disk: dict[int, list[Path]] = {}
    for folder in needed:
        of_disk.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    for folders in of_disk.values():
        wanted, free = sum(needed[folder] for folder in folders), shutil.disk_usage(_existing(folders[0])).free
        if wanted > free:
            raise EnvironmentFault(
                f"{folders[0]}: the features of {voxels:,} voxels need {wanted / GB:.3g} GB, {free / GB:.3g} GB are "
                "free; lower patterns.voxels_per_case, raise patterns.supervoxel, or name another disk with "
                "patterns.scratch"
            )


def _count(source: VoxelSource, case_ids: Sequence[str]) -> dict[str, int]:
    """The rows of each case of this rank's block; its masks alone are read."""
    mine = block_of(case_ids, source.context.rank, source.context.world_size)
    return {case_id: len(_drawn(source, case_id, _cells(source, case_id))) for case_id in mine}


def _cells(source: VoxelSource, case_id: str) -> Cells:
    mask = source.cohort.lung_mask(case_id).compute(scheduler="synchronous")
    return cells_of(mask != 0, source.config.patterns.supervoxel)


def _drawn(source: VoxelSource, case_id: str, cell_N: Cells) -> Cells:
    return drawn_cells(case_id, cell_N, source.config.patterns, source.config.seed)


def _extract(source: VoxelSource, case_ids: Sequence[str], store: Path, rows_of_case: Mapping[str, int]) -> ZarrRows:
    writer = together(partial(_begin, store, rows_of_case, source.network.body.channels), source.context)

    def write(voxels: CaseVoxels) -> None:
        writer.add(voxels.features_NC.cpu().numpy(), voxels.cell_N)

    visit_voxels(source, case_ids, write, partial(_drawn, source))
    return together(writer.close, source.context)


def _begin(store: Path, rows_of_case: Mapping[str, int], channels: int) -> VoxelWriter:
    shutil.rmtree(store, ignore_errors=True)  # what an interrupted clustering left
    store.parent.mkdir(parents=True, exist_ok=True)
    return VoxelWriter(store, rows_of_case, channels)


def _axes(config: Config, channels: int) -> int:
    """At most so many axes of the clustering space, in which the torch backend keeps the points once more."""
    wanted = config.clustering.pca_components
    return min(wanted, channels) if isinstance(wanted, int) else channels


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
