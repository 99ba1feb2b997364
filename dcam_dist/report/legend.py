"""The colour scale of the pictures, with real text."""

import numpy as np
from markupsafe import Markup

from dcam_dist.maps import style
from dcam_dist.report import svg

_WIDTH, _STEPS = 300.0, 60


def map_scale(kind: str, classes: int) -> Markup:
    """The scale of the maps as SVG: times chance, over the grey of a lung as in the pictures."""
    colours_N3 = style.over_lung(style.map_colours()(np.linspace(0, 1, _STEPS)))
    width, ticks = _WIDTH / _STEPS, style.scale_ticks(classes)
    bars = [
        Markup('<rect x="{:.1f}" y="4" width="{:.1f}" height="12" fill="#{:02x}{:02x}{:02x}"/>').format(
            20 + place * width, width + 0.4, *(round(255 * float(value)) for value in colour)
        )
        for place, colour in enumerate(colours_N3)
    ]
    texts = [
        Markup('<text class="mid" x="{:.1f}" y="31">{}</text>').format(
            20 + _WIDTH * float(style.scale_of(classes)(value)), text
        )
        for value, text in ticks.items()
    ]
    label = (
        f"Colour scale: {style.SCALE_LABEL.format(kind=kind)}, from 1, chance, which is not drawn, to {max(ticks):g}"
    )
    return svg.picture(_WIDTH + 40, 36, label, svg.joined([*bars, *texts]))
