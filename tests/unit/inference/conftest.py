"""A cohort of generated scans, ingested from their DICOM files, and a run of each method on it."""

import pytest
import SimpleITK as sitk

from dcam_dist.config import load_config
from dcam_dist.inference import export_run
from dcam_dist.ingest import ingest
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.training import train

CASES = 6
SETTINGS = [
    "grid.shape=[32,32,32]",
    "network.filters=4",
    "clustering.clusters=2",
    "clustering.pca_components=3",
    "training.epochs=1",
    "training.batch_size=2",
    "evaluation.permutations=20",
    "evaluation.bootstrap=20",
    "ingest.workers=1",
]


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """``scans/cases.csv`` with given masks, and ``cohort.zarr``."""
    folder = tmp_path_factory.mktemp("study")
    table = write_phantom_cohort(folder / "scans", cases=CASES, seed=3, matrix=96)
    ingest([table], folder / "cohort.zarr", config=load_config(None, SETTINGS))
    return folder


@pytest.fixture(scope="session")
def run_of(study):
    """A finished run of a method."""
    made = {}

    def build(method):
        if method not in made:
            settings = [*SETTINGS, f"method={method}", f"data.cohort={study / 'cohort.zarr'}"]
            made[method] = train(load_config(None, [*settings, f"output={study / method}"])).run
        return made[method]

    return build


@pytest.fixture(scope="session")
def bundle(run_of, study):
    """The bundle of the proposed method's run."""
    return export_run(run_of("dcam"), study / "bundle").folder


@pytest.fixture(scope="session")
def series(study):
    """The DICOM folder of one scan."""
    return sorted(path for path in (study / "scans").glob("*/ct"))[0]


@pytest.fixture(scope="session")
def as_images(series, study):
    """The same scan as NIfTI and as NRRD."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series))
    image = sitk.Cast(sitk.ReadImage(names), sitk.sitkInt16)
    files = [study / "scan.nii.gz", study / "scan.nrrd"]
    for file in files:
        sitk.WriteImage(image, str(file), useCompression=True)
    return files
