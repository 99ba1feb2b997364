"""Is this machine fit for the work? Facts are gathered, then judged by pure functions; each finding is a line."""

from dcam_dist.hpc.doctor.examine import CHECKS, examine, failed
from dcam_dist.hpc.doctor.line import Line, State
from dcam_dist.hpc.doctor.machine import Machine

__all__ = ["CHECKS", "Line", "Machine", "State", "examine", "failed"]
