"""From detections or joints, and pictures, to posed hands: triangulation, model fitting, registration to outlines."""

from nerfstudio_hands.fitting.cache import cache_path, fit_key, fit_or_load
from nerfstudio_hands.fitting.fit import fit_capture, fit_contour_distances
from nerfstudio_hands.fitting.options import FitOptions
from nerfstudio_hands.fitting.record import HandFit

__all__ = ["FitOptions", "HandFit", "cache_path", "fit_capture", "fit_key", "fit_or_load", "fit_contour_distances"]
