"""Pictures and clips of hands that hold things, drawn when they are asked for, with the truth of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.raster.vertex_images import LitSurface
from nerfstudio_hands.hand_images.hand_image import (
    HandImage,
    HandLabels,
    HeldLabels,
    HeldMesh,
    mirrored,
    mirrored_labels,
)
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.program.option_range import bounded
from nerfstudio_hands.synthesis.grasps.fit import FittedGrasp, fitted_grasp, mean_hands
from nerfstudio_hands.synthesis.grasps.pool import Grasps, shipped_grasps
from nerfstudio_hands.synthesis.grasps.shapes import KINDS, solid
from nerfstudio_hands.synthesis.quick.bodies import HAND, object_surface
from nerfstudio_hands.synthesis.quick.drawing import (
    ImageOptions,
    Layers,
    body_surfaces,
    drawn_background,
    drawn_person,
    hand_labels,
    lit_layers,
    moved_hand,
    photographed,
    projected,
)
from nerfstudio_hands.synthesis.quick.drawn_images import DrawnImages
from nerfstudio_hands.synthesis.quick.movements import Movement, drawn_movement
from nerfstudio_hands.synthesis.quick.objects import TEST_SHAPES, TRAINING_SHAPES, object_before, painted_thing
from nerfstudio_hands.synthesis.quick.people import Somebody
from nerfstudio_hands.synthesis.quick.poses import drawn_orientation
from nerfstudio_hands.synthesis.quick.views import drawn_place, roomy_intrinsics
from nerfstudio_hands.transforms.rigid import apply_rigid

JITTERED = 0.2
"""Share of fingers that are bent a little otherwise than in the pool."""

JITTER_DEGREES = np.array([4.0, 2.0, 1.0])
"""Standard deviations: flexion, spread, twist."""

DEEPEST, TRIES = 2e-3, 4
"""Meters to which vertices of a person's hand may be in the thing, and grasps drawn until one does not go deeper."""

NEAREST = 0.6
"""Distance of what a hand holds from the camera, relative to the hand's: longer things do not point at the camera."""

PASSING = 0.012
"""Meters by which what passes before a hand moves from picture to picture, standard deviation along each axis."""

CORNERS = 8
"""Pictures of a sequence, evenly spread, that its camera has to see."""

OWN_MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])
"""Things are their own mirror images, see `grasps.shapes`."""


@dataclass(frozen=True)
class SyntheticGraspsOptions(ImageOptions):
    """Which pictures of hands that hold something are drawn."""

    frames: bounded(int, 1, 10_000) = 1
    """Pictures of a sequence, one after the other; single pictures by default."""
    left: bounded(float, 0, 1) = 0.5
    """Share of sequences of a left hand."""
    occluders: bounded(float, 0, 1) = 0.12
    """Share of sequences in which something is, or passes, before the hand."""
    blur: bounded(float, 0, 1) = 0.0
    """How long the shutter is open for what moves, relative to the time from picture to picture."""


@dataclass(frozen=True)
class _Sequence:
    """What the pictures of a sequence have in common."""

    who: Somebody
    is_left: bool
    row: int
    """Of the grasps."""
    grasp: FittedGrasp
    orientation: Float[np.ndarray, "3 3"]
    place: Float[np.ndarray, "3"]
    """At first, in the camera's frame."""
    movement: Movement
    intrinsics: Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class _Layout:
    """What of a picture is known before it is drawn."""

    sequence: _Sequence
    posed: PosedHand
    labels: HandLabels
    """Of the right hand that it is drawn as."""


class SyntheticGrasps(DrawnImages):
    """A source of pictures of hands that hold something; see `hand_image.HandObjectImages`.

    A thing is called by its kind and the number that makes its size, for example `mug-0007`.
    """

    kind = "grasps"
    options: SyntheticGraspsOptions

    def __init__(self, options: SyntheticGraspsOptions = SyntheticGraspsOptions()) -> None:
        """See `DrawnImages`."""
        super().__init__(options)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without drawing the picture."""
        layout = self._laid_out(index)
        return self._as_seen(layout.labels) if layout.sequence.is_left else layout.labels

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask."""
        sequence, _ = divmod(index, self.options.frames)
        layout = self._laid_out(index)
        layers = self._blurred(self._lit(layout, index), index, layout.sequence)
        # Camera and background stay through a sequence.
        rng = self._rng(sequence, 2)
        behind = drawn_background(self._files, self.options.size, rng)
        picture = HandImage(photographed(layers, behind, rng), layout.labels, layers[1][..., HAND] > 0.5)
        if not layout.sequence.is_left:
            return picture
        return replace(mirrored(picture), labels=self._as_seen(layout.labels))

    def held_mesh(self, name: str) -> HeldMesh:
        """The closed mesh of a thing.

        Raises:
            HandsError: There is no such thing.
        """
        return _mesh(*_kind_and_seed(name))

    def hand_faces(self) -> Int[np.ndarray, "F 3"]:
        """Of the vertices of right hands, open at the wrist."""
        return self._plan.model.faces.numpy()

    def clip(self, index: int, length: int) -> list[int]:
        """Pictures of the sequence that a picture belongs to, see `HandObjectImages.clip`."""
        start = index - index % self.options.frames
        end = min(start + self.options.frames, self.options.count)
        last = min(max(index, start + length - 1), end - 1)
        return [max(row, start) for row in range(last - length + 1, last + 1)]

    @cached_property
    def _grasps(self) -> Grasps:
        return shipped_grasps(for_testing=self._is_test)

    @cached_property
    def _sequences(self):
        return lru_cache(maxsize=8)(self._drawn_sequence)

    def _rng(self, sequence: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, self._is_test, sequence, purpose, 83])

    def _as_seen(self, labels: HandLabels) -> HandLabels:
        """Of a left hand; the thing keeps its own frame, as it is its own mirror image."""
        other = mirrored_labels(labels, self.options.size)
        held = other.held
        return replace(other, held=held and replace(held, to_camera=held.to_camera @ OWN_MIRROR))

    def _drawn_sequence(self, number: int) -> _Sequence:
        rng = self._rng(number, 0)
        who = drawn_person(self.options, rng)
        is_left = bool(rng.random() < self.options.left)
        row, grasp = self._drawn_grasp(who, rng)
        while True:
            orientation, place, movement = drawn_orientation(rng), drawn_place(rng), drawn_movement(rng)
            first = _Sequence(who, is_left, row, grasp, orientation, place, movement, np.eye(3))
            points = [self._seen_points(first, frame) for frame in self._spread_frames()]
            hand, held_object = (np.concatenate(part) for part in zip(*points, strict=True))
            if held_object[:, 2].min() > NEAREST * hand[:, 2].mean():
                return replace(first, intrinsics=roomy_intrinsics(hand, held_object, self.options.size, rng))

    def _drawn_grasp(self, who: Somebody, rng: np.random.Generator) -> tuple[int, FittedGrasp]:
        """The first of some that fits, or the one that fits best."""
        found = []
        for _ in range(TRIES):
            row = int(rng.integers(len(self._grasps)))
            jittered = (rng.random(5) < JITTERED).repeat(3)[:, None]
            jitter = jittered * np.radians(JITTER_DEGREES) * rng.standard_normal((15, 3))
            grasp = fitted_grasp(self.options.hand_model, who.own, self._grasps, row, jitter)
            found.append((grasp.depth, row, grasp))
            if grasp.depth < DEEPEST:
                break
        _, row, grasp = min(found, key=lambda one: one[0])
        return row, grasp

    def _spread_frames(self) -> list[int]:
        count = min(CORNERS, self.options.frames)
        return [round(frame) for frame in np.linspace(0, self.options.frames - 1, count)]

    def _posed(self, sequence: _Sequence, frame: int) -> tuple[PosedHand, Float32[np.ndarray, "16 3"]]:
        """A right hand, and its local rotations with the wrist's first."""
        hands, angles, at_rest = mean_hands(self.options.hand_model), sequence.grasp.angles, sequence.grasp.posed
        if frame:
            angles = np.clip(sequence.movement.opened(angles, frame), hands.least, hands.most)
            at_rest = hands.posed(angles[None], sequence.who.own)
        posed, turn = _carried(at_rest, sequence, frame)
        rotations = np.empty((16, 3), np.float32)
        rotations[0], rotations[1:] = Rotation.from_matrix(turn).as_rotvec(), hands.rotations(angles).numpy()
        return posed, rotations

    def _seen_points(self, sequence: _Sequence, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertices of hand and thing in the camera's frame."""
        posed, _ = _carried(sequence.grasp.posed, sequence, frame)
        vertices, _ = _drawn_mesh(self._grasps.kinds[sequence.row], int(self._grasps.seeds[sequence.row]))
        pose = _to_camera(posed, sequence)
        return posed.vertices[0].double().numpy(), apply_rigid(pose, vertices)

    def _laid_out(self, index: int) -> _Layout:
        number, frame = divmod(index, self.options.frames)
        sequence = self._sequences(number)
        posed, rotations = self._posed(sequence, frame)
        labels = hand_labels(sequence.who, posed, rotations, sequence.intrinsics)
        name = object_name(self._grasps.kinds[sequence.row], int(self._grasps.seeds[sequence.row]))
        held = HeldLabels(name, _to_camera(posed, sequence))
        return _Layout(sequence, posed, replace(labels, held=held))

    def _lit(self, layout: _Layout, index: int) -> Layers:
        number, frame = divmod(index, self.options.frames)
        rng, sequence = self._rng(number, 1), layout.sequence
        surfaces = body_surfaces(self._plan, sequence.who, layout.posed, rng)
        surfaces += [self._held_surface(layout, rng), *self._passing(layout, frame, rng)]
        return lit_layers(surfaces, sequence.who, layout.labels, self.options.size, rng)

    def _held_surface(self, layout: _Layout, rng: np.random.Generator) -> LitSurface:
        row, pose = layout.sequence.row, _to_camera(layout.posed, layout.sequence)
        vertices, faces = _drawn_mesh(self._grasps.kinds[row], int(self._grasps.seeds[row]))
        unit = vertices / np.abs(vertices).max(0)
        return object_surface(painted_thing(vertices, faces, apply_rigid(pose, vertices), unit, rng))

    def _passing(self, layout: _Layout, frame: int, rng: np.random.Generator) -> list[LitSurface]:
        """What is between hand and camera; it moves evenly."""
        if rng.random() >= self.options.occluders:
            return []
        start, _ = self._posed(layout.sequence, 0)
        joints = start.keypoints[0].double().numpy()
        held_object = object_before(joints, TEST_SHAPES if self._is_test else TRAINING_SHAPES, rng)
        # It is where it was drawn in some picture of the sequence.
        passed = (frame - rng.uniform(0, self.options.frames - 1)) * rng.normal(0, PASSING, 3) * [1, 1, 0.2]
        return [object_surface(replace(held_object, vertices=held_object.vertices + np.float32(passed)))]

    def _blurred(self, layers: Layers, index: int, sequence: _Sequence) -> Layers:
        """What the hand's motion does while the shutter is open, the same for the whole hand and what it holds."""
        if not self.options.blur:
            return layers
        frame = index % self.options.frames
        middles = [sequence.place + sequence.movement.shift(frame + part) for part in (-0.5, 0.5)]
        ends = projected(np.array(middles, np.float32), sequence.intrinsics)
        return _streaked(layers, self.options.blur * (ends[1] - ends[0]))


def object_name(kind: str, seed: int) -> str:
    """How a thing of `grasps.shapes` is called."""
    return f"{kind}-{seed:04d}"


def _kind_and_seed(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition("-")
    if kind not in KINDS or not number.isdecimal():
        raise HandsError(
            f"held: expected a thing such as mug-0007 ({', '.join(KINDS)}), found '{name}': give its name."
        )
    return kind, int(number)


@lru_cache(maxsize=512)
def _mesh(kind: str, seed: int) -> HeldMesh:
    vertices, faces = solid(kind, seed).mesh(drawn=False)
    return HeldMesh(vertices.astype(np.float32), faces)


@lru_cache(maxsize=512)
def _drawn_mesh(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = solid(kind, seed).mesh(drawn=True)
    return vertices, faces.astype(np.int32)


def _carried(at_rest: PosedHand, sequence: _Sequence, frame: int) -> tuple[PosedHand, Float[np.ndarray, "3 3"]]:
    """A hand where it is in a picture, and the rotation of its wrist."""
    movement = sequence.movement
    turn = movement.turn(frame) @ sequence.orientation
    return moved_hand(at_rest, turn, sequence.place + movement.shift(frame)), turn


def _to_camera(posed: PosedHand, sequence: _Sequence) -> Float[np.ndarray, "4 4"]:
    return posed.bone_transforms[0, 0].double().numpy() @ sequence.grasp.to_rest


def _streaked(layers: Layers, motion: Float32[np.ndarray, "2"]) -> Layers:
    """Layers averaged along a motion in pixels."""
    half = int(np.ceil(np.abs(motion).max() / 2))
    if half == 0:
        return layers
    # Weights of bilinear samples along the line.
    kernel = np.zeros((2 * half + 2, 2 * half + 2), np.float32)
    places = half + np.linspace(-0.5, 0.5, 4 * half + 1)[:, None] * motion[::-1]
    corner, part = np.floor(places).astype(int), places - np.floor(places)
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1])
            np.add.at(kernel, (corner[:, 0] + row, corner[:, 1] + column), weight)
    kernel /= kernel.sum()
    light, covered = (
        cv2.filter2D(part, -1, kernel, anchor=(half, half), borderType=cv2.BORDER_REPLICATE) for part in layers
    )
    return light, covered
