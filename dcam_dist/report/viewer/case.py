"""What the viewer shows of a case, and what it gives to a page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.maps.scene import Scene
from dcam_dist.types import Geometry


@dataclass(frozen=True, eq=False)
class ViewerCase:
    """A case to look at.

    Attributes:
        case_id: Its id.
        title: What the chooser calls it, in a few words.
        note: A sentence that is shown below the pictures; may be empty.
        cluster: The case's own class, 0-based.
        hu_DHW: int16, the crop around the lungs at the scan's resolution, canonical axes.
        lungs_DHW: bool, same shape.
        native: Where the crop lies.
        dense_KDHW: float32, the maps on the training grid, in logits.
        grid: Where the training grid lies.
    """

    case_id: str
    title: str
    note: str
    cluster: int
    hu_DHW: NDArray[np.int16]
    lungs_DHW: NDArray[np.bool_]
    native: Geometry
    dense_KDHW: NDArray[np.float32]
    grid: Geometry

    @classmethod
    def from_scene(cls, scene: Scene, *, title: str, note: str = "") -> "ViewerCase":
        """The case of a scene; its arrays are shared, not copied."""
        record, maps = scene.mapped.record, scene.mapped.maps
        return cls(
            case_id=record.case_id,
            title=title,
            note=note,
            cluster=scene.mapped.class_id,
            hu_DHW=scene.hu_DHW,
            lungs_DHW=scene.lungs_DHW,
            native=record.native,
            dense_KDHW=maps.dense_KDHW,
            grid=record.grid,
        )


@dataclass(frozen=True)
class ViewerParts:
    """The viewer, ready to be put into a page.

    Attributes:
        html: A ``<section>`` for the body; every text in it is escaped.
        css: For a ``<style>`` in the head.
        script: For a ``<script>`` at the end of the body; NiiVue and the volumes are in it. It holds no ``</script``
            and no ``<!--``, whatever a case is called.
    """

    html: str
    css: str
    script: str
