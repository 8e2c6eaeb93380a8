"""Pictures of single hands, drawn when they are asked for: endless data for networks, without a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from nerfstudio_hands.geometry.raster.vertex_pictures import LitSurface, draw_colors, lit_vertices
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.program.option_range import bounded, check_ranges
from nerfstudio_hands.synthesis.quick.arms import drawn_arm
from nerfstudio_hands.synthesis.quick.backgrounds import background_files, file_background, made_background
from nerfstudio_hands.synthesis.quick.bodies import (
    HAND,
    arm_surface,
    hand_surface,
    mirrored_surface,
    thing_surface,
    together,
)
from nerfstudio_hands.synthesis.quick.lights import drawn_light
from nerfstudio_hands.synthesis.quick.objects import TEST_SHAPES, TRAINING_SHAPES, held_thing, thing_before
from nerfstudio_hands.synthesis.quick.people import BodyPlan, Somebody, body_plan, somebody
from nerfstudio_hands.synthesis.quick.poses import drawn_orientation, drawn_pose, pose_pool
from nerfstudio_hands.synthesis.quick.sensor import taken
from nerfstudio_hands.synthesis.quick.views import crop_intrinsics, drawn_place

HELD, BEFORE, SECOND = 0.35, 0.12, 0.12
"""Shares of pictures with something in the hand, something before it, and another hand."""

SHADOW = 0.35
"""Share of pictures with a shadow on what is behind."""

SAMPLES = 2
"""Samples a pixel along each axis."""

REACH = 0.16
"""Meters around a hand's middle within which shadows are thrown."""

CREEP = (0.22, 0.08, 0.05)
"""How far around an edge light of each color creeps in skin, as a cosine."""


@dataclass(frozen=True)
class SyntheticHandsOptions:
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


@dataclass(frozen=True)
class _Layout:
    """What of a picture is known before it is drawn."""

    who: Somebody
    posed: PosedHand
    labels: HandLabels
    rng: np.random.Generator
    """Draws light, arm and things."""


class SyntheticHands:
    """A source of pictures of right hands that are drawn on the spot; see `hand_image.HandImages`."""

    def __init__(self, options: SyntheticHandsOptions = SyntheticHandsOptions()) -> None:
        """Raises HandsError where an option is out of its range or the hand model or the folder cannot be read."""
        check_ranges(options)
        self.options = options
        self.name = f"synthetic hands ({options.split}, seed {options.seed})"
        self.hand_model = "default" if options.hand_model == "default" else "mano"
        self._is_test = options.split == "test"
        self._files = background_files(options.backgrounds, for_testing=self._is_test) if options.backgrounds else []

    def __len__(self) -> int:
        return self.options.count

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without drawing the picture."""
        return self._laid_out(index).labels

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask."""
        return self.read_copy(index, 0)

    def read_copy(self, index: int, copy: int) -> HandImage:
        """The same hand before another background and by another camera; copy 0 is what `read` gives."""
        layout = self._laid_out(index)
        light, covered = self._lit(layout)
        rng = np.random.default_rng([self.options.seed, self._is_test, index, 1 + copy])
        behind = self._background(rng)
        rest = 1 - covered @ np.ones((3, 1), np.float32)
        rgb = taken(light + rest * _shaded(behind * behind, rest, rng), rng)
        return HandImage(rgb, layout.labels, covered[..., HAND] > 0.5)

    @cached_property
    def _plan(self) -> BodyPlan:
        return body_plan(self.options.hand_model)

    @cached_property
    def _pool(self) -> Float32[np.ndarray, "P 15 3"]:
        return pose_pool(self.options.hand_model, 2 * self.options.seed + self._is_test)

    def __getstate__(self) -> dict:
        """Without what each process can make again."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_plan", "_pool")}

    def _person(self, rng: np.random.Generator) -> Somebody:
        """Somebody out of the split's people; their seeds are odd for testing and even for learning."""
        number = 2 * (self.options.seed * 100_000 + int(rng.integers(self.options.people))) + self._is_test
        return somebody(self.options.hand_model, number, self.options.of_the_shape_space)

    def _laid_out(self, index: int) -> _Layout:
        rng = np.random.default_rng([self.options.seed, self._is_test, index])
        who = self._person(rng)
        rotations = np.empty((16, 3), np.float32)
        rotations[0] = Rotation.from_matrix(drawn_orientation(rng)).as_rotvec()
        rotations[1:] = drawn_pose(self.options.hand_model, self._pool, rng)
        posed = _posed(who, rotations, drawn_place(rng))
        vertices, joints = posed.vertices[0].numpy(), posed.keypoints[0].numpy()
        intrinsics = crop_intrinsics(vertices.astype(float), self.options.size, rng)
        seen = _projected(vertices, intrinsics)
        labels = HandLabels(
            side="right",
            intrinsics=intrinsics,
            joints=joints,
            pixels=_projected(joints, intrinsics),
            confidence=np.ones(21, np.float32),
            vertices=vertices,
            rotations=rotations,
            shape=who.shape,
            bone_length=float(np.linalg.norm(joints[10] - joints[9])),
            box=np.concatenate([seen.min(0), seen.max(0)]),
        )
        return _Layout(who, posed, labels, rng)

    def _lit(self, layout: _Layout) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w 3"]]:
        """Light of hand, arm and things times the part of each pixel that they cover, and these parts by layer."""
        rng = layout.rng
        surface = together([*self._body(layout.who, layout.posed, rng), *self._things(layout)])
        middle = layout.labels.joints.mean(0)  # pyright: ignore[reportOptionalMemberAccess]
        radiance = lit_vertices(surface, drawn_light(rng), middle, REACH, CREEP)
        hand = radiance[: len(layout.who.albedo)]
        albedo = layout.who.albedo.mean()
        # Exposed for what the hand is lit by, a little for how bright it is itself.
        exposure = rng.uniform(0.38, 0.95) * (0.35 / albedo) ** 0.5 / max(float(hand.mean()) / albedo, 1e-3)
        intrinsics = layout.labels.intrinsics
        colors = radiance * np.float32(exposure)
        return draw_colors(surface, colors, intrinsics, self.options.size, samples=SAMPLES, layers=3)

    def _things(self, layout: _Layout) -> list[LitSurface]:
        rng, joints = layout.rng, layout.labels.joints.astype(float)  # pyright: ignore[reportOptionalMemberAccess]
        names = TEST_SHAPES if self._is_test else TRAINING_SHAPES
        found: list[LitSurface] = []
        if rng.random() < HELD and (thing := held_thing(joints, names, rng)):
            found.append(thing_surface(thing))
        if rng.random() < BEFORE:
            reach = float(np.linalg.norm(joints - joints.mean(0), axis=1).max())
            target = joints[rng.integers(21)] + rng.normal(0, 0.3, 3) * reach
            found.append(thing_surface(thing_before(target, reach, names, rng)))
        if rng.random() < SECOND:
            found += self._second_hand(layout)
        return found

    def _second_hand(self, layout: _Layout) -> list[LitSurface]:
        """The same person's left hand somewhere beside or behind, mirrored from a right one."""
        rng, middle = layout.rng, layout.labels.joints.mean(0)  # pyright: ignore[reportOptionalMemberAccess]
        rotations = np.empty((16, 3), np.float32)
        rotations[0] = Rotation.from_matrix(drawn_orientation(rng)).as_rotvec()
        rotations[1:] = drawn_pose(self.options.hand_model, self._pool, rng)
        place = (middle + rng.normal(0, [0.09, 0.09, 0.05]) + [0, 0, 0.06]) * [-1, 1, 1]
        posed = _posed(layout.who, rotations, place)
        return [mirrored_surface(part) for part in self._body(layout.who, posed, rng)]

    def _body(self, who: Somebody, posed: PosedHand, rng: np.random.Generator) -> list[LitSurface]:
        """A hand and its arm."""
        arm = drawn_arm(rng)
        return [hand_surface(self._plan, who, posed, arm), arm_surface(self._plan, who, posed, arm, rng)]

    def _background(self, rng: np.random.Generator) -> Float32[np.ndarray, "h w 3"]:
        if self._files and rng.random() < 0.5:
            return file_background(self._files[rng.integers(len(self._files))], self.options.size, rng)
        return made_background(self.options.size, rng)


def _posed(who: Somebody, rotations: Float32[np.ndarray, "16 3"], middle: Float[np.ndarray, "3"]) -> PosedHand:
    """The hand with the mean of its joints somewhere."""
    turns = torch.from_numpy(rotations)[None]
    posed = who.own.pose(turns[:, 0], turns[:, 1:], torch.zeros(1, 3))
    shift = torch.from_numpy(middle).float() - posed.keypoints[0].mean(0)
    transforms = posed.bone_transforms.clone()
    transforms[..., :3, 3] += shift
    return PosedHand(posed.vertices + shift, posed.keypoints + shift, transforms)


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


def _projected(points: Float32[np.ndarray, "N 3"], intrinsics: Float[np.ndarray, "3 3"]) -> Float32[np.ndarray, "N 2"]:
    homogeneous = points @ intrinsics.T
    return (homogeneous[:, :2] / homogeneous[:, 2:]).astype(np.float32)
