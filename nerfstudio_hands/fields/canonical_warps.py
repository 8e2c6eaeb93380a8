"""Warps that carry points near a posed hand to its rest pose, by inverse skinning.

Both take points, the nearest surface point of each (face, barycentric coordinates) and the bones' transforms, and give
places in canonical space: the rest pose of the person's hands, two hands set apart. The nearest face says which hand a
point belongs to, so that bones of one hand never move points of the other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.warps import surface_warp
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface
from nerfstudio_hands.hand_model.model import rest_joints

SOLID = 0.006
"""Meters round the rest-pose surface within which the prior of the weight volume is that of the nearest skin."""

EMPTY = 0.012
"""Meters beyond which the prior of the weight volume says that nothing is there."""

FIELD_MARGIN = 0.012
"""Meters round the rest pose that fields cover."""

PRIOR_FLOOR = 1e-3
"""Least prior of a bone or of emptiness: what training cannot raise from zero."""


class CanonicalHands(nn.Module):
    """The rest pose of a person's hands, and how its bones hang on it.

    Args:
        surface: the hands.
        shape: shape coefficients [K].
        displacement: offset of every vertex of the rest pose [V, 3], meters.

    Attributes:
        rest: rest-pose vertices, each hand in the frame of its own bones [V, 3], meters.
        joints: the 16 joints of each hand, likewise [H, 16, 3].
        offset: from there to canonical space, a hand each [H, 3].
        weights: skinning weights [V, 16].
        face_hand: hand of each face, by its place among the surface's hands [F].
    """

    rest: Tensor
    joints: Tensor
    offset: Tensor
    weights: Tensor
    faces: Tensor
    face_hand: Tensor

    def __init__(self, surface: HandSurface, shape: Float[Tensor, "K"], displacement: Float[Tensor, "V 3"]):
        super().__init__()
        rest = surface.pose(HandPose.rest(surface.num_hands, (1,)), shape.cpu(), displacement.cpu()).vertices[0]
        offset = [
            (surface.canonical[part] - rest[part]).mean(dim=0) for part in surface.vertex_slices
        ]  # The template's, up to the shape: apart and centered.
        self.counts = [hand.num_vertices for hand in surface.hands]
        hand_of_side = torch.tensor([surface.sides.index(side) if side in surface.sides else -1 for side in SIDES])
        for name, value in {
            "rest": rest,
            "joints": torch.stack([rest_joints(hand, shape.cpu()[None])[0] for hand in surface.hands]),
            "offset": torch.stack(offset),
            "weights": torch.cat([hand.weights for hand in surface.hands]),
            "faces": surface.faces,
            "face_hand": hand_of_side[surface.face_side],
        }.items():
            self.register_buffer(name, value, persistent=False)

    def split(self, values: Float[Tensor, "V *C"]) -> tuple[Float[Tensor, "_ *C"], ...]:
        """Values per vertex, cut into those of each hand."""
        return values.split(self.counts)

    @property
    def canonical(self) -> Float[Tensor, "V 3"]:
        """Vertices in canonical space."""
        vertex_hand = torch.zeros(len(self.rest), dtype=torch.long, device=self.rest.device)
        vertex_hand[self.faces] = self.face_hand[:, None].expand(-1, 3)
        return self.rest + self.offset[vertex_hand]

    def box(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Lower and upper corner of what fields cover in canonical space, meters."""
        return self.canonical.amin(dim=0) - FIELD_MARGIN, self.canonical.amax(dim=0) + FIELD_MARGIN


class NearestSkinning(nn.Module):
    """Inverse blend skinning with the weights of the nearest surface point, after NeuMan (ECCV 2022).

    A point keeps its offset from the nearest surface point, turned back by the blended rotation there; the surface
    point itself goes to its place on the rest pose exactly, pose-dependent offsets of the model included.

    Args:
        hands: the rest pose.
    """

    def __init__(self, hands: CanonicalHands):
        super().__init__()
        self.hands = hands

    def forward(
        self,
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        nearest: Float[Tensor, "N 3"],
        bones: Float[Tensor, "N 16 4 4"],
    ) -> tuple[Float[Tensor, "N 3"], None]:
        """Places in canonical space, meters.

        Args:
            points: points near posed surfaces.
            face: nearest face.
            barycentric: where on it the nearest surface point lies.
            nearest: that point, in the frame of `points`.
            bones: transforms of the bones of the face's hand, from rest pose to the frame of `points`.
        """
        hands = self.hands
        weights = surface_warp(hands.weights, hands.faces, face, barycentric)
        rotation = torch.einsum("nb,nbij->nij", weights, bones[..., :3, :3])
        return self.undo(rotation, points - nearest, face, barycentric), None

    def undo(
        self,
        rotation: Float[Tensor, "N 3 3"],
        offset: Float[Tensor, "N 3"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        """Places in canonical space, meters.

        Args:
            rotation: blended rotation at the nearest surface points.
            offset: from there to the points, in the world of the bones.
            face: nearest face.
            barycentric: where on it the nearest surface point lies.
        """
        hands = self.hands
        # A point without a nearest surface point comes with zeros, which have no inverse.
        missing = barycentric.sum(dim=-1) < 0.5
        rotation = torch.where(missing[:, None, None], torch.eye(3, device=rotation.device), rotation)
        surface_point = surface_warp(hands.rest, hands.faces, face, barycentric) + hands.offset[hands.face_hand[face]]
        # Without the look for what has no inverse, for which a GPU has to be waited for.
        return surface_point + torch.linalg.solve_ex(rotation, offset).result

    def vertex_rotations(self, bones: Float[Tensor, "S H 16 4 4"]) -> Float[Tensor, "S V 9"]:
        """Blended rotations of the vertices, from the rest pose to the world of the bones, row by row.

        Interpolated like any other quantity of the surface they are those of its points.
        """
        rotations = bones[..., :3, :3].flatten(-2)
        parts = [weights @ rotations[:, hand] for hand, weights in enumerate(self.hands.split(self.hands.weights))]
        return torch.cat(parts, dim=1)


class SkinningVolume(nn.Module):
    """Inverse skinning with a learned volume of weights over the rest pose, after HumanNeRF (CVPR 2022).

    A point is carried back by every bone; the volume says at each of these places how likely the bone is to be there.
    These likelihoods are the blend weights, and their sum is how likely the point is to be of the hand at all.
    The volume starts from the skinning weights of the nearest surface point, and fades out beyond the shell.

    Args:
        hands: the rest pose.
        resolution: cells along the longest side of a hand's volume.
        margin: meters of the volume round the rest pose.
    """

    low: Tensor
    size: Tensor
    log_prior: Tensor

    def __init__(self, hands: CanonicalHands, *, resolution: int, margin: float = 0.015):
        super().__init__()
        self.hands = hands
        corners = []
        for hand in range(len(hands.offset)):
            own = hands.rest[hands.faces[hands.face_hand == hand].unique()]
            corners.append(torch.stack([own.amin(dim=0) - margin, own.amax(dim=0) + margin]))
        low, high = torch.stack(corners, dim=1)  # [H, 3] each
        size = (high - low).amax(dim=0)
        low = (low + high - size) / 2
        cells = (size / size.max() * resolution).round().long().clamp(min=2).tolist()
        steps = [torch.linspace(0, 1, n) for n in cells]
        places = torch.stack(torch.meshgrid(*steps, indexing="ij"), dim=-1) * size
        priors = [self._prior(hand, (places + low[hand]).view(-1, 3)).T.reshape(-1, *cells) for hand in range(len(low))]
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("size", size, persistent=False)
        self.register_buffer("log_prior", torch.stack(priors).log(), persistent=False)
        self.learned = nn.Parameter(torch.zeros_like(self.log_prior))

    def _prior(self, hand: int, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 17"]:
        """Likelihood of each bone, and of emptiness last."""
        hands = self.hands
        own = hands.faces[hands.face_hand == hand]
        near = Surfaces(own, hands.rest[None]).closest(points)
        solid = ((EMPTY - (points - near.point).norm(dim=-1, keepdim=True)) / (EMPTY - SOLID)).clamp(0, 1)
        weights = surface_warp(hands.weights, own, near.face, near.barycentric)
        prior = torch.cat([solid * weights, 1 - solid], dim=-1).clamp(min=PRIOR_FLOOR)
        return prior / prior.sum(dim=-1, keepdim=True)

    def likelihoods(self) -> Float[Tensor, "H 17 X Y Z"]:
        """The volume: how likely each bone, or emptiness, is at each cell."""
        return (self.log_prior + self.learned).softmax(dim=1)

    def forward(
        self,
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        nearest: Float[Tensor, "N 3"],
        bones: Float[Tensor, "N 16 4 4"],
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Places in canonical space in meters, and likelihood of the hand in [0, 1]; arguments as for
        :class:`NearestSkinning`."""
        hand = self.hands.face_hand[face]
        # Bones are rigid, so that their inverse is cheap.
        back = torch.einsum("nbji,nbj->nbi", bones[..., :3, :3], points[:, None] - bones[..., :3, 3])  # [N, 16, 3]
        grid = (back - self.low[hand][:, None]) / self.size * 2 - 1
        volume = self.likelihoods()[:, :-1]
        found = back.new_zeros(back.shape[:2])
        for index in range(len(volume)):
            chosen = torch.nonzero(hand == index)[:, 0]
            # Sampling takes coordinates in the order of the last axis first.
            places = grid[chosen].flip(-1).transpose(0, 1)[:, :, None, None]  # [16, M, 1, 1, 3]
            read = F.grid_sample(volume[index, :, None], places, align_corners=True, padding_mode="zeros")
            found = found.index_add(0, chosen, read[:, 0, :, 0, 0].T)
        total = found.sum(dim=-1)
        weights = found / total[:, None].clamp(min=1e-4)
        position = torch.einsum("nb,nbi->ni", weights, back) + self.hands.offset[hand]
        return position, total.clamp(max=1)

    def total_variation(self) -> Float[Tensor, ""]:
        """Mean squared difference of neighboring cells of what was learned on top of the prior."""
        return sum(self.learned.diff(dim=axis).square().mean() for axis in (2, 3, 4))  # pyright: ignore[reportReturnType]
