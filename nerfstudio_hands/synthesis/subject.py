"""The person in the picture: true shape, skin and grasp, and the surfaces that are rendered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.synthesis.anatomy import read_anatomy
from nerfstudio_hands.synthesis.body import Tessellation, fine_vertices, forearm, mesh_normals, sleeve, tessellate
from nerfstudio_hands.synthesis.grasp import Grasp, find_grasp
from nerfstudio_hands.synthesis.held_object import SyntheticObject, make_object
from nerfstudio_hands.synthesis.options import OF_THE_SHAPE_SPACE, SubjectOptions
from nerfstudio_hands.synthesis.physique import PersonalHand, personal_hand
from nerfstudio_hands.synthesis.scene import PosedMesh, Quality, RenderMesh, plain_mesh
from nerfstudio_hands.synthesis.skin import Skin, cloth_material
from nerfstudio_hands.transforms.rigid import apply_rigid

SHAPE_SPREAD = 0.8
"""Standard deviation of the subject's shape coefficients: a person, not the mean of persons."""


@dataclass(frozen=True)
class PreparedHand:
    """One hand with forearm and sleeve, ready to be rendered in any pose."""

    own: PersonalHand
    rest: Float[np.ndarray, "C 3"]
    """Rest vertices of the hand model in the person's shape, meters."""
    tessellation: Tessellation
    skin: RenderMesh
    """Its faces are those of the hand model, then those of the forearm, in turn for each level of subdivision."""
    sleeve: RenderMesh
    person: Skin

    @property
    def model(self) -> HandModel:
        """The hand model, before it becomes the person's."""
        return self.own.model

    @cached_property
    def relief(self) -> Float[np.ndarray, "V"]:
        """Displacement of the skin along its normals, meters."""
        return self.person.relief(self.skin.points)

    def posed(self, vertices: Float[np.ndarray, "C 3"], wrist_to_world: Float[np.ndarray, "4 4"]) -> list[PosedMesh]:
        """Skin, subdivided and raised by the relief, and sleeve.

        Args:
            vertices: Posed vertices of the hand model, world meters.
            wrist_to_world: Transform of the wrist from the rest pose.
        """
        rings = forearm(self.rest, self.tessellation.wrist)
        smooth = fine_vertices(self.tessellation, vertices, rings, wrist_to_world)
        raised = smooth + self.relief[:, None] * mesh_normals(smooth, self.skin.faces)
        return [(self.skin, raised), (self.sleeve, apply_rigid(wrist_to_world, self.sleeve.points.position))]


@dataclass(frozen=True)
class Subject:
    """A person with one or two hands, which may hold something."""

    hands: dict[str, PreparedHand]
    """By side, left first."""
    shape: Float[Tensor, "K"]
    held: SyntheticObject | None = None
    """What a hand holds."""
    grasps: dict[str, Grasp] = field(default_factory=dict)
    """How the hand of each side holds it."""

    @cached_property
    def held_mesh(self) -> RenderMesh:
        """What a hand holds, ready to be rendered."""
        held = self.held
        return plain_mesh("object", PixelLabel.OBJECT, held.vertices, held.faces, held.material)


def make_subject(
    sides: tuple[str, ...],
    *,
    subdivisions: int,
    quality: Quality,
    seed: int,
    held: str | None = None,
    has_own_tone: bool = False,
    physique: SubjectOptions = OF_THE_SHAPE_SPACE,
) -> Subject:
    """Draw a person from a seed.

    Args:
        sides: Which hands.
        subdivisions: Of the rendered skin.
        quality: Of the images that are rendered.
        seed: Another seed is another shape, another skin, and another size and pattern of the object.
        held: What the hand holds: a kind out of `SHAPES`.
        has_own_tone: See `Skin`.
        physique: What the shape space does not hold.
    """
    right = default_hand("right")
    rng = np.random.default_rng([seed, 1])
    shape = torch.from_numpy(SHAPE_SPREAD * rng.standard_normal(right.num_shape)).float()
    skin = Skin(read_anatomy(right), seed, has_own_tone)
    hands = {side: prepare(personal_hand(side, shape, physique, seed), skin, subdivisions, quality) for side in sides}
    if held is None:
        return Subject(hands, shape)
    held_object = make_object(held, seed)
    grasp = find_grasp(personal_hand("right", shape, physique, seed), held_object)
    return Subject(hands, shape, held_object, {"right": grasp, "left": grasp.mirrored()})


def prepare(own: PersonalHand, skin: Skin, subdivisions: int, quality: Quality) -> PreparedHand:
    """Make the surfaces of a person's hand; see `make_subject`."""
    # Skin is looked up on the mean hand, whatever the person's.
    tessellation = tessellate(default_hand(own.model.side), skin.anatomy, subdivisions)
    rest = own.rest.double().numpy()
    light_level = max(subdivisions - quality.light_levels, 0)
    surface = RenderMesh(
        kind="skin",
        faces=tessellation.faces[-1],
        face_label=np.where(tessellation.is_hand, PixelLabel.HAND, PixelLabel.IGNORE),
        points=tessellation.points,
        look=skin.material,
        light_faces=tessellation.faces[light_level],
        light_spread=tessellation.subdivision_from(light_level),
        fine_relief=skin.fine_relief,
    )
    cloth = plain_mesh("sleeve", PixelLabel.BACKGROUND, *sleeve(rest, tessellation.wrist), cloth_material)
    return PreparedHand(own, rest, tessellation, surface, cloth, skin)
