"""A procedural cohort of chest CTs with emphysema: generated example data that shows no person."""

from dcam_dist.phantom.case import PhantomCase, make_case
from dcam_dist.phantom.cohort import write_phantom_cohort
from dcam_dist.phantom.grades import GRADE_FREQUENCY, GRADES, PARASEPTAL, PARASEPTAL_FREQUENCY, Disease

__all__ = [
    "GRADES",
    "GRADE_FREQUENCY",
    "PARASEPTAL",
    "PARASEPTAL_FREQUENCY",
    "Disease",
    "PhantomCase",
    "make_case",
    "write_phantom_cohort",
]
