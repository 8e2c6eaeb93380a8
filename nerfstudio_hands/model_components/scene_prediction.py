"""A hand and what it holds in a picture of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from nerfstudio_hands.estimators.hand_object.scene_network import SceneNetwork
from nerfstudio_hands.hand_images.crops import crop_hand, view_of
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, mirrored
from nerfstudio_hands.model_components.scene_meshes import SceneMesh, SceneMeshes, scene_meshes


@dataclass(frozen=True)
class PredictedSurfaces:
    """What a picture shows, axes of its camera (OpenCV), meters.

    Attributes:
        side: Of the hand.
        joints: In the order of `JOINT_NAMES`.
        center: Of the object.
        meshes: Closed surfaces.
    """

    side: str
    joints: Float[np.ndarray, "21 3"]
    center: Float[np.ndarray, " 3"]
    meshes: SceneMeshes


class ScenePredictor(nn.Module):
    """A trained network, how pictures are cut for it, and how fine its surfaces are.

    Args:
        network: Trained, with a pose network.
        size: Side of its crops, pixels.
        margin: Side of a crop over the longer side of the box of the hand's joints.
        clip: Pictures that it looks at together.
        reach: Half the edge of the cube round the wrist in which surfaces are, meters.
        voxel: Edge of the voxels, meters.
        affine: Whether crops are cut out of pictures as they are, see `crops.View`.
    """

    file_format: ClassVar[str] = "nerfstudio-hands hand-object network 1"
    """Written into every file of a network; the number changes when the layers do."""

    def __init__(
        self,
        network: SceneNetwork,
        *,
        size: int,
        margin: float,
        clip: int,
        reach: float,
        voxel: float,
        affine: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.size, self.margin, self.affine = size, margin, affine
        self.clip, self.reach, self.voxel = clip, reach, voxel

    @torch.no_grad()
    def predict(
        self,
        pictures: Sequence[UInt8[np.ndarray, "H W 3"]],
        intrinsics: Float[np.ndarray, "3 3"],
        side: str,
        boxes: Sequence[Float[np.ndarray, " 4"]],
    ) -> PredictedSurfaces:
        """Hand and object of the last picture of a clip; how far away they are the palm's size says.

        Args:
            pictures: Of the clip, as many as the network looks at.
            intrinsics: K.
            side: Of the hand.
            boxes: Of its joints in each picture, pixels.
        """
        device = next(self.network.parameters()).device
        images, focal, turn = [], [], np.eye(3)
        for rgb, box in zip(pictures, boxes, strict=True):
            picture = HandImage(rgb, HandLabels(side, intrinsics, box=np.asarray(box, np.float32)))
            picture = mirrored(picture) if side == "left" else picture
            labels = picture.labels
            box = np.asarray(labels.box)
            view = view_of(labels.intrinsics, box, self.size, scale=self.margin, affine=self.affine)
            images.append(crop_hand(picture, view, self.size).rgb)
            focal.append(view.intrinsics[0, 0] / self.size)
            turn = view.rotation
        crops = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device).float() / 255
        scene = self.network(crops, torch.tensor(focal, dtype=torch.float32, device=device), clip=len(images))
        meshes = scene_meshes(self.network.distance, scene, len(images) - 1, reach=self.reach, voxel=self.voxel)
        to_camera = turn if side == "right" else np.diag([-1.0, 1.0, 1.0]) @ turn
        joints, center = scene.joints[-1].cpu().double().numpy(), scene.center[-1].cpu().double().numpy()
        return PredictedSurfaces(
            side=side,
            joints=joints @ to_camera.T,
            center=to_camera @ center,
            meshes=SceneMeshes(_turned(meshes.hand, to_camera), _turned(meshes.object, to_camera)),
        )


def _turned(mesh: SceneMesh | None, turn: Float[np.ndarray, "3 3"]) -> SceneMesh | None:
    """The mesh in other axes; those of a mirror turn its faces round."""
    if mesh is None:
        return None
    vertices = mesh.vertices @ torch.from_numpy(turn).to(mesh.vertices).T
    return SceneMesh(vertices, mesh.faces.flip(1) if np.linalg.det(turn) < 0 else mesh.faces)
