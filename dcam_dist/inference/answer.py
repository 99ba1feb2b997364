"""What is said of one scan: the content of its ``case.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcam_dist.clustering.outliers import LEVEL
from dcam_dist.clustering.placing import place
from dcam_dist.maps import MappedCase
from dcam_dist.maps.export import describe
from dcam_dist.maps.naming import class_names
from dcam_dist.runs import Bundle, model_sha256
from dcam_dist.runs.trained_on import scanner_of
from dcam_dist.types import Geometry

Tree = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One scan, judged. A view of plain JSON, which is what ranks share and files hold.

    Attributes:
        tree: The content of ``case.json``.
    """

    tree: Tree

    @property
    def case_id(self) -> str:
        """The scan's pseudonymous id."""
        return str(self.tree["case_id"])

    @property
    def kind(self) -> str:
        """``cluster`` or ``grade``."""
        return "cluster" if "cluster" in self.tree else "grade"

    @property
    def number(self) -> int:
        """Its class, as people count it."""
        return int(self.tree[self.kind])

    @property
    def head_number(self) -> int:
        """The class that the head finds most probable."""
        return int(self.tree[f"{self.kind}_of_the_head"])

    @property
    def title(self) -> str:
        """The name of its class."""
        return str(self.tree[f"{self.kind}_title"])

    @property
    def densitometry(self) -> Mapping[str, float]:
        """As ``metrics.densitometry``, at the scan's own resolution."""
        return self.tree["densitometry"]  # type: ignore[no-any-return]

    @property
    def kernel(self) -> str:
        """Its reconstruction kernel; empty where it is not known."""
        return str(self.tree["scanner"].get("kernel", ""))

    @property
    def lungs_box(self) -> Geometry:
        """The box around its lungs in the patient, at the scan's resolution."""
        box = self.tree["lungs_box"]
        return Geometry(tuple(box["shape"]), tuple(tuple(row) for row in box["affine"]))  # type: ignore[arg-type]

    def closed(self) -> "Answer":
        """The same, compared with all other scans of its call."""
        return Answer({**self.tree, "closed": True})

    def warned(self, flag: str, sentence: str) -> "Answer":
        """The same with one more flag, if it is a new one, and one more warning."""
        flags = [*self.tree["flags"], *([flag] if flag not in self.tree["flags"] else [])]
        return Answer({**self.tree, "flags": flags, "warnings": [*self.tree["warnings"], sentence]})


def about_model(bundle: Bundle) -> dict[str, str]:
    """What names a model in every answer: the run that it says it is of, and a hash of what it is."""
    return {
        "run_sha256": bundle.run_sha256,
        "model_sha256": model_sha256(bundle),
        "method": bundle.model.config.method,
    }


def answer_of(mapped: MappedCase, bundle: Bundle, about: Mapping[str, str], fingerprint: str) -> Answer:
    """What a model says of a scan, still without warnings.

    Args:
        mapped: The scan, passed through the model.
        bundle: The model.
        about: As ``about_model`` gives it.
        fingerprint: Of all that decides the answer.
    """
    record = mapped.record
    return Answer(
        {
            **describe(mapped, class_names(bundle.model.config)),
            **_among_training_cases(mapped, bundle),
            "densitometry": dict(record.densitometry),
            "scanner": scanner_of(record),
            "lung_mask": record.provenance["lung_mask"],
            "flags": list(record.flags),
            "warnings": [],
            "other_reconstructions": [],
            "lungs_box": {"shape": list(record.native.shape), "affine": [list(row) for row in record.native.affine]},
            "model": dict(about),
            "fingerprint": fingerprint,
            "closed": False,
        }
    )


def _among_training_cases(mapped: MappedCase, bundle: Bundle) -> Tree:
    """How much farther the second nearest cluster is, and whether the scan is farther off than training cases are."""
    clusters, rule = bundle.model.clustering, bundle.outliers
    if clusters is None or mapped.distance_K is None or rule is None:
        return {"margin": None, "p_value": None, "out_of_distribution": None}
    nearest, second = np.sort(mapped.distance_K)[:2]
    p_value = float(rule.p_values(place(mapped.maps.feature_C[None], clusters))[0])
    return {
        "margin": float(second - nearest),
        "p_value": p_value,
        "out_of_distribution": p_value <= LEVEL if rule.smallest_p <= LEVEL else None,
    }
