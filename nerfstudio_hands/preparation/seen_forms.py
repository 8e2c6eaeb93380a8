"""Forms of hands that one camera saw: the mean of what the detector and `hand-monocular`'s network say of the same
picture is nearer to the truth than either."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.captures.landmark_files import ImageLandmarks
from nerfstudio_hands.estimators.monocular.weights_file import SHIPPED, load_predictor
from nerfstudio_hands.hand_images.crops import hand_box
from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.hand_model import SIDES


class SeenForms:
    """Asks the network that comes with the package beside the detector."""

    def __init__(self) -> None:
        self.predictor = load_predictor(SHIPPED)

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: ImageLandmarks, intrinsics: Float[np.ndarray, "3 3"]
    ) -> Float[np.ndarray, "2 21 3"]:
        """The form of each hand, the mean of the detector's and the network's, as large as the detector's; NaN where
        that is absent.

        Args:
            image: RGB.
            landmarks: Of that picture.
            intrinsics: K, pixels.
        """
        metric = landmarks.metric.copy()
        for index, side in enumerate(SIDES):
            pixels, form = landmarks.pixels[index], metric[index]
            if np.isfinite(pixels).all() and np.isfinite(form).all():
                box = hand_box(HandLabels(side, intrinsics, pixels=pixels.astype(np.float32)), *image.shape[1::-1])
                (hand,) = self.predictor.predict([(image, intrinsics, side, box)])
                middle, size = form.mean(0), np.linalg.norm(form - form.mean(0))
                both = _unit(form) + _unit(hand.joints)
                metric[index] = middle + size * _unit(both)
        return metric


def _unit(form: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "21 3"]:
    """About its middle, of norm one."""
    form = form - form.mean(0)
    return form / np.linalg.norm(form)
