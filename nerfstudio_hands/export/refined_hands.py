"""Predicted hands laid on their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from nerfstudio_hands.estimators.monocular.predictor import HandPredictor, PredictedHand
from nerfstudio_hands.fitting.joints.seen_joints import lay_on_images, on_rays
from nerfstudio_hands.fitting.silhouettes.image_registration import register_to_image
from nerfstudio_hands.hand_model import SIDES, HandSurface
from nerfstudio_hands.hand_model.model import HandModel, mirror_hand, pose_hand
from nerfstudio_hands.hand_model.nimble import NimbleHand
from nerfstudio_hands.hand_model.surface import HandPose


def laid_on_images(
    predictor: HandPredictor,
    hands: Sequence[PredictedHand],
    intrinsics: Sequence[Float[np.ndarray, "3 3"]],
    times: Sequence[float] | None = None,
) -> list[PredictedHand]:
    """Hands of one side, one a picture, moved so that their joints are where the heat maps or a detector see them.

    Args:
        predictor: What said them.
        hands: One or more; with `times` they are a film's and of one person, whose shape is the median one.
        intrinsics: K of their pictures.
        times: Seconds, ascending.
    """
    right = predictor.decoder.hand.to("cpu")
    if isinstance(right, NimbleHand):
        return list(hands)
    model = _of_side(right, hands[0].side)
    surface = HandSurface([model])
    joints, pixels, error = (
        np.stack([getattr(hand, name) for hand in hands])[:, None] for name in ("joints", "pixels", "error")
    )
    points, precision = on_rays(joints, pixels, error, np.stack(intrinsics))
    shapes = np.stack([hand.shape for hand in hands])
    if times is None:
        each = [
            lay_on_images(surface, points[[i]], precision[[i]], torch.from_numpy(shapes[i]))
            for i in range(len(hands))
        ]
        return [_posed(model, hand, pose, hand.shape) for hand, pose in zip(hands, each, strict=True)]
    shape = np.median(shapes, 0)
    pose = lay_on_images(surface, points, precision, torch.from_numpy(shape), torch.tensor(times))
    return [_posed(model, hand, pose[[index]], shape) for index, hand in enumerate(hands)]


def registered_to_image(
    predictor: HandPredictor,
    hands: dict[str, PredictedHand],
    image: UInt8[np.ndarray, "H W 3"],
    intrinsics: Float[np.ndarray, "3 3"],
) -> dict[str, PredictedHand]:
    """The hands of a picture, by side, moved so that their outline is where the picture shows one.

    Args:
        predictor: What said them.
        hands: One or both; their shape becomes the mean one.
        image: RGB.
        intrinsics: K.
    """
    right = predictor.decoder.hand.to("cpu")
    if isinstance(right, NimbleHand):
        return hands
    sides = [side for side in SIDES if side in hands]
    found = [hands[side] for side in sides]
    surface = HandSurface([_of_side(right, side) for side in sides])
    shape = np.mean([hand.shape for hand in found], 0)
    turns = torch.from_numpy(np.stack([hand.rotations for hand in found])).float()[None]
    place = torch.from_numpy(np.stack([hand.translation for hand in found])).float()[None]
    pose = HandPose(turns[:, :, 0], turns[:, :, 1:], place, torch.ones(1, len(sides), dtype=torch.bool))
    pixels, error = (np.stack([getattr(hand, name) for hand in found]) for name in ("pixels", "error"))
    moved = register_to_image(surface, pose, torch.from_numpy(shape), pixels, error, image, intrinsics)
    each = zip(sides, surface.hands, found, strict=True)
    return {side: _posed(model, hand, moved[:, h : h + 1], shape) for h, (side, model, hand) in enumerate(each)}


def _of_side(right: HandModel, side: str) -> HandModel:
    return right if side == "right" else mirror_hand(right)


def _posed(model: HandModel, hand: PredictedHand, pose: HandPose, shape: np.ndarray) -> PredictedHand:
    turned, local, place = pose.global_orient[0], pose.local_rotations[0, 0], pose.translation[0]
    posed = pose_hand(model, turned, local[None], place, torch.from_numpy(shape).float())
    return replace(
        hand,
        joints=posed.keypoints[0].double().numpy(),
        vertices=posed.vertices[0].double().numpy(),
        rotations=torch.cat([turned, local]).double().numpy(),
        translation=place[0].double().numpy(),
        shape=shape,
    )
