"""Cases as the 3D viewer shows them, with what is known of them in a line."""

from dcam_dist.maps.compute import map_case
from dcam_dist.maps.scene import Scene, open_scene
from dcam_dist.report.cards import heads_answer
from dcam_dist.report.study import Study
from dcam_dist.report.viewer import ViewerCase
from dcam_dist.report.words import percent


def asked_case(study: Study, case_id: str) -> ViewerCase:
    """A case that was asked for.

    Raises:
        UsageError: When the cohort has no such case.
        VolumeDamaged: When its volume is unreadable.
    """
    scene = open_scene(map_case(study.run, study.cohort, case_id), study.cohort)
    record = scene.mapped.record
    split = {"train": "training", "test": "test"}[record.split]
    return viewer_case(study, scene, f"A {split} case of {study.names.titles[scene.mapped.class_id]}")


def viewer_case(study: Study, scene: Scene, about: str) -> ViewerCase:
    """A case for the viewer, with its label and the head's answer, whose maps are shown."""
    mapped, names = scene.mapped, study.names
    labels = study.cohort.description.label_names
    label = f"; label: {labels[mapped.record.label]}" if mapped.record.label >= 0 else ""
    answer, probability = heads_answer(mapped)
    but = "" if answer == mapped.class_id else "; its maps are the head's, not those of its centroid"
    note = f"{about}{label}. The head answers {names.titles[answer]} ({percent(probability)}){but}."
    return ViewerCase.from_scene(scene, title=f"{names.titles[mapped.class_id]} · {mapped.record.case_id}", note=note)
