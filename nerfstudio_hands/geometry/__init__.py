"""Surface queries, ray casting, rasterisation and mesh operators: tensors in, tensors out, nothing about hands."""

from nerfstudio_hands.geometry.antialias import antialias
from nerfstudio_hands.geometry.rasterize import Raster, interpolate, interpolate_corners, rasterize, rasterize_rays
from nerfstudio_hands.geometry.surface_query import ClosestPoints, RayHits, ShellSamples, Surfaces

__all__ = [
    "ClosestPoints",
    "Raster",
    "RayHits",
    "ShellSamples",
    "Surfaces",
    "antialias",
    "interpolate",
    "interpolate_corners",
    "rasterize",
    "rasterize_rays",
]
