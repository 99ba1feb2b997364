"""The kinds of input, by name."""

from fuzz import config_inputs, csv_inputs, dicom_inputs, nifti_inputs, nrrd_inputs, regression_inputs
from fuzz.scratch import Target

TARGETS: dict[str, Target] = {
    "dicom": dicom_inputs.TARGET,
    "nifti": nifti_inputs.TARGET,
    "nrrd": nrrd_inputs.TARGET,
    "csv": csv_inputs.TARGET,
    "config": config_inputs.TARGET,
    "regressions": regression_inputs.TARGET,
}
FUZZED = tuple(name for name in TARGETS if name != "regressions")
