"""Steps that all pictures drawn by the thousand share: a person, a hand somewhere, light, what is behind, a camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from nerfstudio_hands.geometry.raster.vertex_images import LitSurface, draw_colors, lit_vertices
from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.program.option_range import bounded
from nerfstudio_hands.synthesis.quick.arms import drawn_arm
from nerfstudio_hands.synthesis.quick.backgrounds import background_files, file_background, made_background
from nerfstudio_hands.synthesis.quick.bodies import arm_surface, hand_surface, together
from nerfstudio_hands.synthesis.quick.lights import drawn_light
from nerfstudio_hands.synthesis.quick.people import BodyPlan, Somebody, somebody
from nerfstudio_hands.synthesis.quick.sensor import taken
from nerfstudio_hands.transforms.rigid import apply_rigid

SHADOW = 0.35
"""Share of pictures with a shadow on what is behind."""

SAMPLES = 2
"""Samples a pixel along each axis."""

REACH = 0.16
"""Meters around a hand's middle within which shadows are thrown."""

CREEP = (0.22, 0.08, 0.05)
"""How far around an edge light of each color creeps in skin, as a cosine."""

Layers = tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w 3"]]
"""Light times the part of each pixel that is covered, and these parts by layer, see `bodies.HAND`."""


@dataclass(frozen=True)
class ImageOptions:
    """Which pictures are drawn."""

    seed: int = 0
    """Another seed is other pictures of other people."""
    count: bounded(int, 1, 10**9) = 100_000
    """How many pictures there are."""
    split: Literal["train", "test"] = "train"
    """Whether they are to learn from or to measure with; people, cameras, objects and backgrounds of one are never in
    the other."""
    size: bounded(int, 32, 1024) = 160
    """Pixels of a side."""
    people: bounded(int, 1, 256) = 96
    """How many people there are."""
    of_the_shape_space: bool = False
    """Whether hands are exactly those of the model's shape space, as data sets' labels have it; else fingers are
    longer or thicker than it knows, nails grow, skin is uneven."""
    hand_model: str = "default"
    """`default`, or MANO's file or folder."""
    backgrounds: Path | None = None
    """Folder of pictures to put behind half of the hands; without it all backgrounds are made up."""


def chosen_backgrounds(options: ImageOptions) -> list[str]:
    """Files of backgrounds of the split; none where all are made up.

    Raises:
        HandsError: See `background_files`.
    """
    folder = options.backgrounds
    return background_files(folder, for_testing=options.split == "test") if folder else []


def drawn_person(options: ImageOptions, rng: np.random.Generator) -> Somebody:
    """Somebody out of the split's people; their seeds are odd for testing and even for learning."""
    is_test = options.split == "test"
    number = 2 * (options.seed * 100_000 + int(rng.integers(options.people))) + is_test
    return somebody(options.hand_model, number, options.of_the_shape_space)


def placed_hand(who: Somebody, rotations: Float32[np.ndarray, "16 3"], middle: Float[np.ndarray, "3"]) -> PosedHand:
    """The hand with the mean of its joints somewhere."""
    turns = torch.from_numpy(rotations)[None]
    return moved_hand(who.own.pose(turns[:, 0], turns[:, 1:], torch.zeros(1, 3)), np.eye(3), middle)


def moved_hand(posed: PosedHand, rotation: Float[np.ndarray, "3 3"], middle: Float[np.ndarray, "3"]) -> PosedHand:
    """A hand turned, with the mean of its joints somewhere."""
    transform = torch.eye(4)
    transform[:3, :3] = torch.from_numpy(rotation)
    transform[:3, 3] = torch.from_numpy(middle).float() - posed.keypoints[0].mean(0) @ transform[:3, :3].T
    vertices, keypoints = (apply_rigid(transform, part) for part in (posed.vertices, posed.keypoints))
    return PosedHand(vertices, keypoints, transform @ posed.bone_transforms)


def hand_labels(
    who: Somebody, posed: PosedHand, rotations: Float32[np.ndarray, "16 3"], intrinsics: Float[np.ndarray, "3 3"]
) -> HandLabels:
    """All that is known of a right hand."""
    vertices, joints = posed.vertices[0].numpy(), posed.keypoints[0].numpy()
    seen = projected(vertices, intrinsics)
    return HandLabels(
        side="right",
        intrinsics=intrinsics,
        joints=joints,
        pixels=projected(joints, intrinsics),
        confidence=np.ones(21, np.float32),
        vertices=vertices,
        rotations=rotations,
        shape=who.shape,
        bone_length=float(np.linalg.norm(joints[10] - joints[9])),
        box=np.concatenate([seen.min(0), seen.max(0)]),
    )


def body_surfaces(plan: BodyPlan, who: Somebody, posed: PosedHand, rng: np.random.Generator) -> list[LitSurface]:
    """A hand and its arm."""
    arm = drawn_arm(rng)
    return [hand_surface(plan, who, posed, arm), arm_surface(plan, who, posed, arm, rng)]


def lit_layers(
    surfaces: list[LitSurface], who: Somebody, labels: HandLabels, size: int, rng: np.random.Generator
) -> Layers:
    """What a camera sees of a hand, which is the first of the surfaces, and of other things."""
    surface = together(surfaces)
    middle = labels.joints.mean(0)  # pyright: ignore[reportOptionalMemberAccess]
    radiance = lit_vertices(surface, drawn_light(rng), middle, REACH, CREEP)
    hand = radiance[: len(who.albedo)]
    albedo = who.albedo.mean()
    # Exposed for what the hand is lit by, a little for how bright it is itself.
    exposure = rng.uniform(0.38, 0.95) * (0.35 / albedo) ** 0.5 / max(float(hand.mean()) / albedo, 1e-3)
    colors = radiance * np.float32(exposure)
    return draw_colors(surface, colors, labels.intrinsics, size, samples=SAMPLES, layers=3)


def drawn_background(files: list[str], size: int, rng: np.random.Generator) -> Float32[np.ndarray, "h w 3"]:
    """Pixel values: one of the files half of the time, if there are any."""
    if files and rng.random() < 0.5:
        return file_background(files[rng.integers(len(files))], size, rng)
    return made_background(size, rng)


def photographed(
    layers: Layers, behind: Float32[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of what is before a background."""
    light, covered = layers
    rest = 1 - covered @ np.ones((3, 1), np.float32)
    return taken(light + rest * _shaded(behind * behind, rest, rng), rng)


def projected(points: Float32[np.ndarray, "N 3"], intrinsics: Float[np.ndarray, "3 3"]) -> Float32[np.ndarray, "N 2"]:
    """Pixels of points in the camera's frame."""
    homogeneous = points @ intrinsics.T
    return (homogeneous[:, :2] / homogeneous[:, 2:]).astype(np.float32)


def _shaded(
    behind: Float32[np.ndarray, "h w 3"], free: Float32[np.ndarray, "h w 1"], rng: np.random.Generator
) -> Float32[np.ndarray, "h w 3"]:
    """Light from what is behind, now and then with a soft shadow on it of what is before."""
    if rng.random() > SHADOW:
        return behind
    size = len(behind)
    shift = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    shift[:, 2] = rng.normal(0, 0.07, 2) * size
    shadow = cv2.warpAffine(1 - free, shift, (size, size), borderMode=cv2.BORDER_REPLICATE)
    shadow = cv2.GaussianBlur(shadow, (0, 0), size * rng.uniform(0.008, 0.05))
    return behind * (1 - np.float32(rng.uniform(0.25, 0.8)) * shadow[..., None])
