"""Surface queries, ray casting, rasterization and mesh operators: tensors in, tensors out, nothing about hands."""

from nerfstudio_hands.geometry.query.cast import RayHits
from nerfstudio_hands.geometry.query.closest import ClosestPoints
from nerfstudio_hands.geometry.query.march import ShellSamples
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.antialias import antialias
from nerfstudio_hands.geometry.raster.interpolate import interpolate
from nerfstudio_hands.geometry.raster.rasterize import rasterize, rasterize_rays
from nerfstudio_hands.geometry.raster.visibility import Raster

__all__ = [
    "ClosestPoints",
    "Raster",
    "RayHits",
    "ShellSamples",
    "Surfaces",
    "antialias",
    "interpolate",
    "rasterize",
    "rasterize_rays",
]
