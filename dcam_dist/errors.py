"""User errors: each is one clear line and one documented exit code.

Exit codes: 0 done, 2 usage or configuration, 3 data, 4 environment, 75 stopped on request (requeue me).
"""

import sys
from enum import StrEnum


class DcamError(Exception):
    """An error that the user can act on; printed as one line, without a traceback unless ``--debug``."""

    exit_code = 1


class UsageError(DcamError):
    """A wrong argument, option or configuration value."""

    exit_code = 2


class DataError(DcamError):
    """Input data that cannot be used."""

    exit_code = 3


class Diverged(DataError):
    """Loss, gradients or features are no longer finite: the newest weights are not good."""


class Collapsed(DataError):
    """Training has made a network that gives nearly all cases the same features: the newest weights are not good."""


class VolumeDamaged(DataError):
    """A stored volume cannot be read. Met by one rank alone, which must say so itself."""


class EnvironmentFault(DcamError):
    """Something the machine lacks: a device, a package, disk space. Mostly met by one rank alone, which says so.

    Args:
        message: The line.
        quiet: Whether another rank says it.
    """

    exit_code = 4

    def __init__(self, message: str, *, quiet: bool = False) -> None:
        super().__init__(message)
        self.quiet = quiet


class RankLost(EnvironmentFault):
    """Another rank does not answer, or is at another place of the program. Met by the ranks that are left."""


class FailedElsewhere(DcamError):
    """Another rank has failed, and has said why; this one ends with the same exit code.

    Args:
        exit_code: Of the other rank.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another rank has failed; it says why")
        self.exit_code = exit_code


class StopRequested(DcamError):
    """A training was asked to leave and has saved; the same command goes on."""

    exit_code = 75


def tell(line: str) -> None:
    """Write one line for the user on standard error."""
    sys.stderr.write(f"dcam-dist: {' '.join(line.split())}\n")  # one write: the ranks share the console
    sys.stderr.flush()


class DcamWarning(UserWarning):
    """A warning raised by this package itself."""


class Reason(StrEnum):
    """Why a case was set aside at ingest. The value is what users read and filter on."""

    MISSING_FILE = "missing_file"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    WRONG_MODALITY = "wrong_modality"
    LOCALIZER = "localizer"
    COLOUR = "colour"
    SECONDARY_CAPTURE = "secondary_capture"
    BURNED_IN = "burned_in_annotation"
    ENHANCED_MULTIFRAME = "enhanced_multiframe"
    NO_RESCALE = "no_rescale"
    TOO_FEW_SLICES = "too_few_slices"
    MISSING_SLICES = "missing_slices"
    DUPLICATE_SLICES = "duplicate_slices"
    MIXED_SERIES = "mixed_series"
    UNEVEN_SPACING = "uneven_spacing"
    TILTED = "tilted"
    BAD_GEOMETRY = "bad_geometry"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    NOT_FINITE = "not_finite"
    NOT_HOUNSFIELD = "not_hounsfield"
    MASK_MISMATCH = "mask_mismatch"
    MASK_EMPTY = "mask_empty"
    NO_LUNGS = "no_lungs"
    LUNGS_CUT = "lungs_cut"
    LUNGS_EXCEED_GRID = "lungs_exceed_grid"
    BAD_LABEL = "bad_label"
    BAD_SPLIT = "bad_split"
    WORKER_DIED = "worker_died"


class CaseRejected(DataError):
    """One case cannot be used; ingest sets it aside and goes on with the others.

    Args:
        reason: The reason code.
        detail: What was found and what to do, in one line that names no patient.
        also: Everything else that was found wrong.
        picture: A small WebP of the scan in base64, where its voxels could be read.
    """

    def __init__(self, reason: Reason, detail: str, also: tuple[Reason, ...] = (), picture: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.also = also
        self.picture = picture

    def __reduce__(self) -> tuple[type["CaseRejected"], tuple[Reason, str, tuple[Reason, ...], str]]:
        return type(self), (self.reason, self.detail, self.also, self.picture)
