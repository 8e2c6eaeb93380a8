"""Pictures of single hands, drawn when they are asked for: endless data for networks, without a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32
from scipy.spatial.transform import Rotation

from nerfstudio_hands.geometry.raster.vertex_images import LitSurface
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.synthesis.quick.bodies import HAND, mirrored_surface, object_surface
from nerfstudio_hands.synthesis.quick.drawing import (
    ImageOptions,
    Layers,
    body_surfaces,
    drawn_background,
    drawn_person,
    hand_labels,
    lit_layers,
    photographed,
    placed_hand,
)
from nerfstudio_hands.synthesis.quick.drawn_images import DrawnImages
from nerfstudio_hands.synthesis.quick.objects import TEST_SHAPES, TRAINING_SHAPES, held_object, object_before
from nerfstudio_hands.synthesis.quick.people import Somebody
from nerfstudio_hands.synthesis.quick.poses import drawn_orientation, drawn_pose, pose_pool
from nerfstudio_hands.synthesis.quick.views import crop_intrinsics, drawn_place

HELD, BEFORE, SECOND = 0.35, 0.12, 0.12
"""Shares of pictures with something in the hand, something before it, and another hand."""


@dataclass(frozen=True)
class SyntheticHandsOptions(ImageOptions):
    """Which pictures of single hands are drawn."""


@dataclass(frozen=True)
class _Layout:
    """What of a picture is known before it is drawn."""

    who: Somebody
    posed: PosedHand
    labels: HandLabels
    rng: np.random.Generator
    """Draws light, arm and things."""


class SyntheticHands(DrawnImages):
    """A source of pictures of right hands that are drawn on the spot; see `hand_image.HandImages`."""

    kind = "hands"

    def __init__(self, options: SyntheticHandsOptions = SyntheticHandsOptions()) -> None:
        """See `DrawnImages`."""
        super().__init__(options)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without drawing the picture."""
        return self._laid_out(index).labels

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask."""
        return self.read_copy(index, 0)

    def read_copy(self, index: int, copy: int) -> HandImage:
        """The same hand before another background and by another camera; copy 0 is what `read` gives."""
        layout = self._laid_out(index)
        layers = self._lit(layout)
        rng = np.random.default_rng([self.options.seed, self._is_test, index, 1 + copy])
        behind = drawn_background(self._files, self.options.size, rng)
        return HandImage(photographed(layers, behind, rng), layout.labels, layers[1][..., HAND] > 0.5)

    @cached_property
    def _pool(self) -> Float32[np.ndarray, "P 15 3"]:
        return pose_pool(self.options.hand_model, 2 * self.options.seed + self._is_test)

    def _laid_out(self, index: int) -> _Layout:
        rng = np.random.default_rng([self.options.seed, self._is_test, index])
        who = drawn_person(self.options, rng)
        rotations = self._drawn_rotations(rng)
        posed = placed_hand(who, rotations, drawn_place(rng))
        intrinsics = crop_intrinsics(posed.vertices[0].double().numpy(), self.options.size, rng)
        return _Layout(who, posed, hand_labels(who, posed, rotations, intrinsics), rng)

    def _drawn_rotations(self, rng: np.random.Generator) -> Float32[np.ndarray, "16 3"]:
        rotations = np.empty((16, 3), np.float32)
        rotations[0] = Rotation.from_matrix(drawn_orientation(rng)).as_rotvec()
        rotations[1:] = drawn_pose(self.options.hand_model, self._pool, rng)
        return rotations

    def _lit(self, layout: _Layout) -> Layers:
        surfaces = [*body_surfaces(self._plan, layout.who, layout.posed, layout.rng), *self._objects(layout)]
        return lit_layers(surfaces, layout.who, layout.labels, self.options.size, layout.rng)

    def _objects(self, layout: _Layout) -> list[LitSurface]:
        rng, joints = layout.rng, layout.labels.joints.astype(float)  # pyright: ignore[reportOptionalMemberAccess]
        names = TEST_SHAPES if self._is_test else TRAINING_SHAPES
        found: list[LitSurface] = []
        if rng.random() < HELD and (held := held_object(joints, names, rng)):
            found.append(object_surface(held))
        if rng.random() < BEFORE:
            found.append(object_surface(object_before(joints, names, rng)))
        if rng.random() < SECOND:
            found += self._second_hand(layout)
        return found

    def _second_hand(self, layout: _Layout) -> list[LitSurface]:
        """The same person's left hand somewhere beside or behind, mirrored from a right one."""
        rng, middle = layout.rng, layout.labels.joints.mean(0)  # pyright: ignore[reportOptionalMemberAccess]
        rotations = self._drawn_rotations(rng)
        place = (middle + rng.normal(0, [0.09, 0.09, 0.05]) + [0, 0, 0.06]) * [-1, 1, 1]
        posed = placed_hand(layout.who, rotations, place)
        return [mirrored_surface(part) for part in body_surfaces(self._plan, layout.who, posed, rng)]
