"""Hands of pictures: from a picture, its K and a box to a hand in the camera's frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from nerfstudio_hands.estimators.monocular.decoder import HandDecoder
from nerfstudio_hands.estimators.monocular.network import MonocularNetwork
from nerfstudio_hands.estimators.monocular.skin_basis import SkinBasis, lit_colors
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_images.crops import HandCrop, crop_hand, view_of
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, mirrored
from nerfstudio_hands.hand_model.model import mirror_rotations
from nerfstudio_hands.transforms.rotations import rotation_vector

AT_ONCE = 16
"""Hands that the network looks at together."""


@dataclass(frozen=True)
class PredictedHand:
    """A hand in the frame of its picture's camera (OpenCV axes, meters).

    Attributes:
        side: ``left`` or ``right``.
        joints: In the order of ``joints.JOINT_NAMES``.
        vertices: Of the predictor's hand model, of this side.
        rotations: Axis-angle: the whole hand, then joints 1 to 15 in MANO order, relative to the flat rest pose; J is 1
            for a NIMBLE hand.
        pose: NIMBLE's coefficients; P is 0 for a hand in MANO's layout, which its rotations pose.
        translation: As `pose_hand` takes it, and NIMBLE turned about its first joint.
        shape: Coefficients.
        pixels: The joints as the heat maps see them, pixels of the picture.
        error: Scale of the error of each of these that the network expects, pixels.
        colors: Of the vertices in the picture's light, bytes.
    """

    side: str
    joints: Float[np.ndarray, "21 3"]
    vertices: Float[np.ndarray, "V 3"]
    rotations: Float[np.ndarray, "J 3"]
    pose: Float[np.ndarray, " P"]
    translation: Float[np.ndarray, " 3"]
    shape: Float[np.ndarray, " K"]
    pixels: Float[np.ndarray, "21 2"]
    error: Float[np.ndarray, " 21"]
    colors: UInt8[np.ndarray, "V 3"]


class HandPredictor(nn.Module):
    """A trained network and its hand.

    Args:
        network: Trained.
        decoder: Of the right hand that it was trained for.
        skin: Of the same.
        size: Side of its crops, pixels.
    """

    file_format: ClassVar[str] = "nerfstudio-hands monocular network 1"
    """Written into every file of a network; the number changes when the layers do."""

    def __init__(self, network: MonocularNetwork, decoder: HandDecoder, skin: SkinBasis, size: int) -> None:
        super().__init__()
        self.network, self.decoder, self.skin, self.size = network, decoder, skin, size

    @property
    def faces(self) -> Int[np.ndarray, "F 3"]:
        """Of the right hand; the left one's are turned round."""
        return self.decoder.hand.faces.cpu().numpy()

    def predict(
        self,
        pictures: Iterable[tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "3 3"], str, Float[np.ndarray, " 4"]]],
    ) -> Iterator[PredictedHand]:
        """Hands of pictures, in their order.

        Args:
            pictures: Picture, its K, the side of the hand, and its box (`hand_box`), pixels.
        """
        crops = (self._cut(*picture) for picture in pictures)
        while part := list(islice(crops, AT_ONCE)):
            yield from self._look(part)

    def _cut(self, rgb: np.ndarray, intrinsics: np.ndarray, side: str, box: np.ndarray) -> tuple[HandCrop, int]:
        """The crop of a right hand, and the picture's width where it was mirrored for that, else 0."""
        picture, width = HandImage(rgb, HandLabels(side, intrinsics, box=box.astype(np.float32))), 0
        if side == "left":
            picture, width = mirrored(picture), rgb.shape[1]
        labels = picture.labels
        crop = crop_hand(picture, view_of(labels.intrinsics, np.asarray(labels.box), self.size), self.size)
        # What the picture's pixels need is its own K.
        return HandCrop(crop.rgb, crop.view, labels, None), width

    @torch.no_grad()
    def _look(self, part: list[tuple[HandCrop, int]]) -> Iterator[PredictedHand]:
        device = next(self.network.parameters()).device
        images = torch.from_numpy(np.stack([crop.rgb for crop, _ in part])).permute(0, 3, 1, 2).to(device)
        focal = torch.tensor([crop.view.intrinsics[0, 0] / self.size for crop, _ in part], dtype=torch.float32)
        turn = torch.from_numpy(np.stack([crop.view.rotation for crop, _ in part])).float().to(device)
        output = self.network(images.float() / 255)
        hand = self.decoder(output, focal.to(device))
        joints, vertices = hand.joints @ turn.mT, hand.vertices @ turn.mT
        rotations = torch.cat([rotation_vector(turn @ hand.rotation)[:, None], hand.local_rotations], 1)
        translation = ((hand.center + hand.translation)[:, None] @ turn.mT)[:, 0] - hand.center
        pose = hand.pose[:, :0] if hand.local_rotations.shape[1] else hand.pose
        albedo = self.skin(output.texture)
        scale = torch.exp(output.log_scale) * self.size / 2
        for index, (crop, width) in enumerate(part):
            onto_image = np.linalg.inv(crop.view.homography(crop.labels.intrinsics))
            normals = vertex_normals(hand.vertices[index], self.decoder.hand.faces)
            colors = lit_colors(albedo[index], output.light[index], normals)
            points = (output.points[index].cpu().double().numpy() + 1) * self.size / 2
            ahead = np.column_stack([points, np.ones(21)]) @ onto_image.T
            found = PredictedHand(
                side="right",
                joints=_array(joints[index]),
                vertices=_array(vertices[index]),
                rotations=_array(rotations[index]),
                pose=_array(pose[index]),
                translation=_array(translation[index]),
                shape=_array(hand.shape[index]),
                pixels=ahead[:, :2] / ahead[:, 2:],
                error=_array(scale[index]) * crop.labels.intrinsics[0, 0] / crop.view.intrinsics[0, 0],
                colors=(255 * colors).round().byte().cpu().numpy(),
            )
            yield _left(found, width) if width else found


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().double().numpy()


def _left(hand: PredictedHand, width: int) -> PredictedHand:
    """A right hand of a mirrored picture as the left one that it is."""
    flip = np.array([-1.0, 1.0, 1.0])
    return PredictedHand(
        side="left",
        joints=hand.joints * flip,
        vertices=hand.vertices * flip,
        rotations=mirror_rotations(torch.from_numpy(hand.rotations)).numpy(),
        pose=hand.pose,
        translation=hand.translation * flip,
        shape=hand.shape,
        pixels=hand.pixels * flip[:2] + np.array([width, 0.0]),
        error=hand.error,
        colors=hand.colors,
    )
