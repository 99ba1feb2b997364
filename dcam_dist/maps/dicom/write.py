"""Write a case's maps as DICOM objects on its own slices, into a folder whose name says that they identify a patient.

    FOLDER/identified-dicom/     mode 0700
      winner.dcm                 Segmentation: where each class has the largest map
      lungs.dcm                  Segmentation: right and left lung
      dcam-cluster-1.dcm …       Parametric Map: the logits of one class

They take over the patient's and the study's identifiers from the slices; without these no archive could file them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.ingest.dicom_headers import quiet
from dcam_dist.ingest.one_case import private_umask
from dcam_dist.maps.compute import MappedCase
from dcam_dist.maps.dicom.source import SourceSeries
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.spaces import labels_in, maps_in, winner_of

FOLDER = "identified-dicom"
WINNER, LUNGS = "winner", "lungs"
_WINDOW_PERCENTILES = (1.0, 99.0)


def check_highdicom() -> None:
    """Say early that the extra is missing.

    Raises:
        EnvironmentFault: Names it.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"DICOM objects need the package {error.name}, which is missing; pip install 'dcam-dist[dicom]'"
        ) from None


def write_dicom(
    mapped: MappedCase,
    sides_DHW: NDArray[np.uint8],
    series: SourceSeries,
    folder: Path,
    names: ClassNames,
    *,
    run_sha256: str,
) -> list[Path]:
    """Write the maps of one case as DICOM objects that refer to its slices.

    Repeated, an object of the same pixels, run and version is left as it is; its UIDs are the same anywhere.

    Args:
        mapped: The case and its maps.
        sides_DHW: The lungs on ``mapped.record.native``: 0 outside, 1 right, 2 left.
        series: Its slices, as ``find_series`` gives them.
        folder: The case's folder; ``identified-dicom`` is made in it.
        names: Titles of the classes and names of the files.
        run_sha256: Hash of the run, hex.

    Returns:
        The files: winner, lungs, then class by class.

    Raises:
        DataError: When the slices' headers lack what the objects must take over.
        EnvironmentFault: When the extra ``dicom`` is missing, or a file cannot be written.
    """
    check_highdicom()
    home = folder / FOLDER
    try:
        with private_umask(), _from_odd_headers(mapped.record.case_id):
            home.mkdir(parents=True, exist_ok=True)
            home.chmod(0o700)
            return [
                _save(made, home / f"{stem}.dcm")
                for stem, made in _objects(mapped, sides_DHW, series, names, run_sha256)
            ]
    except OSError as error:
        raise EnvironmentFault(f"{home}: cannot be written ({error.strerror})") from None


@contextmanager
def _from_odd_headers(case_id: str) -> Iterator[None]:
    """Whatever the libraries say of headers that they cannot take over, without its words: these quote values."""
    with quiet():
        try:
            yield
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise DataError(
                f"case {case_id}: the headers of its slices do not allow objects that refer to them "
                f"({type(error).__name__}); the NIfTI files have the same maps"
            ) from None


def _objects(
    mapped: MappedCase, sides_DHW: NDArray[np.uint8], series: SourceSeries, names: ClassNames, run_sha256: str
) -> Iterator[tuple[str, Dataset]]:
    from dcam_dist.maps.dicom import codes, objects

    space = series.geometry
    sides = labels_in(sides_DHW, mapped.record.native, space)
    lungs = sides > 0
    winner, window = winner_of(maps_in(mapped, space, lungs), lungs), _window(mapped)
    segments, about = codes.class_segments(names, run_sha256), {"run_sha256": run_sha256}
    yield WINNER, objects.segmentation(series, winner, segments, title="dcam winner", number=0, **about)
    yield LUNGS, objects.segmentation(series, sides, codes.lung_segments(), title="lungs", number=1, **about)
    for class_id, logits in enumerate(maps_in(mapped, space, lungs)):
        yield names.stems[class_id], objects.parametric_map(series, logits, names, class_id, window=window, **about)


def _window(mapped: MappedCase) -> tuple[float, float]:
    """One window for the maps of all classes, so that they can be compared."""
    inside = mapped.maps.dense_KDHW[:, mapped.lung_mask_DHW]
    low, high = np.percentile(inside, _WINDOW_PERCENTILES)
    return float(low), float(high)


def _save(made: Dataset, path: Path) -> Path:
    if _uid_of(path) != made.SOPInstanceUID:
        partial = path.with_name(f".partial-{path.name}")
        try:
            made.save_as(partial, enforce_file_format=True)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _uid_of(path: Path) -> str | None:
    try:
        with quiet():
            return str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
    except Exception:  # absent, or not whole: it is written anew
        return None
