"""Dense clustering activation maps: computed, exported in the scan's own space, and drawn."""

from dcam_dist.maps.compute import ActivationMaps, MappedCase, activation_maps, map_case, map_volume
from dcam_dist.maps.export import export_case
from dcam_dist.maps.scene import Scene, open_scene
from dcam_dist.maps.write import MapsSummary, write_maps

__all__ = [
    "ActivationMaps",
    "MappedCase",
    "MapsSummary",
    "Scene",
    "activation_maps",
    "export_case",
    "map_case",
    "map_volume",
    "open_scene",
    "write_maps",
]
