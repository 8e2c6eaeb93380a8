"""`hand-from-joints`: 21 joints in space, noisy and incomplete, to pose, shape and vertices of a hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.viewer_elements import ViewerDropdown
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.hand_joints_datamanager import HandJointsDataManagerConfig
from nerfstudio_hands.datamanagers.joint_batches import JointBatch, RightHand
from nerfstudio_hands.estimators.network import HandParameters, new_network
from nerfstudio_hands.estimators.weights_file import JointPredictor
from nerfstudio_hands.files.checkpoints import HAND, spelled
from nerfstudio_hands.geometry.mesh import face_normals
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model.joints import TIP_JOINTS
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.model_components.drawn_hand import DrawnHand, clay_colors, drawn_hand
from nerfstudio_hands.models.sample_model import SampleModel, SampleModelConfig
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import Weight

FRAME_TO_VIEW = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""From the axes of a hand's frame (x to the wrist, y out of its back, z to the thumb) to OpenCV's of its camera, which
sees the palm, fingers up."""

PLACE = (0.0, 0.03, 0.45)
"""Of the middle of the palm before the camera, meters."""

BALL = 0.004
"""Radius of what is drawn for a joint that is given, meters."""

BALL_COLOR = (0.1, 0.35, 0.85)
SHINING = 0.7
"""How opaque joints are that lie behind skin."""


@dataclass
class HandFromJointsModelConfig(SampleModelConfig):
    """Losses, of which FMHR has most; a weight of 0 leaves a term out. Units are those of the frame, 0.1 m."""

    _target: Type = field(default_factory=lambda: HandFromJointsModel)
    """target class to instantiate"""
    vertices_loss_weight: Weight = 2.0
    """L1 distance of the network's vertices."""
    joints_loss_weight: Weight = 2.0
    """That of the joints: fingertips on the network's vertices, all joints of the posed model."""
    normals_loss_weight: Weight = 1.0
    """Cosine between the network's edges and true normals of their faces."""
    edges_loss_weight: Weight = 5.0
    """Squared error of the lengths of these edges, relative to their mean."""
    parameters_loss_weight: Weight = 4.0
    """L1 error of angles (radians), of the wrist's rotation matrix and place, and a tenth of shape's; steps that see
    joints alone have this term only."""
    posed_vertices_loss_weight: Weight = 2.0
    """L1 distance of the posed model's vertices."""

    def predictor(self, data: HandJointsDataManagerConfig) -> JointPredictor:
        hand = load_hand(data.hand_model, "right")
        return JointPredictor(new_network(hand), hand.faces)

    def training_remedy(self, data: HandJointsDataManagerConfig) -> str:
        """What to lower where a training step does not fit into memory."""
        return (
            f"lower --pipeline.datamanager.detailed{now(data.detailed)} or "
            f"--pipeline.datamanager.batch-size{now(data.batch_size)}"
        )


class HandFromJointsModel(SampleModel):
    """The network and its losses."""

    config: HandFromJointsModelConfig
    samples_called = "Hands"
    edges: Tensor
    face_edges: Tensor

    def populate_modules(self) -> None:
        super().populate_modules()
        hand = load_hand(self.kwargs["metadata"]["hand_model"], "right")
        self.right_hand = RightHand(hand)
        self.network = new_network(hand)
        self.register_buffer(HAND, spelled(hand.name))
        for name, value in zip(("edges", "face_edges"), edges(hand.faces), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.surface_control = ViewerDropdown("Surface", "network's", ["network's", "posed model", "true"])

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {"network": list(self.network.parameters())}

    def predict(self, batch: JointBatch) -> Dict[str, Any]:
        given, detailed = batch["given"], len(batch["vertices"])
        found, features = self.network(given, given.isfinite().all(-1), batch["scale"])
        # The graph costs twenty times the rest, also where it has nothing to do.
        vertices = self.network.vertices_of(features[:detailed]) if detailed else batch["vertices"]
        return {"parameters": found, "vertices": vertices}

    def posed(
        self, found: HandParameters, scale: Float[Tensor, " N"], detailed: int
    ) -> tuple[Float[Tensor, "N 21 3"], Float[Tensor, "D V 3"]]:
        """Joints of the hand model as it is posed, and vertices of the first hands; in their frames, units."""
        angles = self.right_hand.low + found.fractions * self.right_hand.range
        joints, vertices = (
            points / scale[: len(points), None, None] @ found.rotation[: len(points)].mT
            + found.wrist[: len(points), None]
            for points in self.right_hand.posed(angles, found.shape, detailed)
        )
        return joints, vertices

    def errors(self, outputs: Dict[str, Any], batch: JointBatch) -> Dict[str, Float[Tensor, " D"]]:
        """Mean distances, millimeters, of each hand whose vertices are known: joints and vertices of the posed model,
        the network's vertices, and joints of a resting hand that is laid on what is given, to compare with."""
        detailed = len(batch["vertices"])
        joints, vertices = self.posed(outputs["parameters"], batch["scale"], detailed)
        true_joints = batch["joints"][:detailed]
        off = {
            "joints": joints[:detailed] - true_joints,
            "vertices": outputs["vertices"] - batch["vertices"],
            "posed_vertices": vertices - batch["vertices"],
            "rest_joints": self.network.reference - true_joints,
        }
        return {name: 1000 * batch["scale"][:detailed] * of.norm(dim=-1).mean(-1) for name, of in off.items()}

    @torch.no_grad()
    def get_metrics_dict(self, outputs: Dict[str, Any], batch: JointBatch) -> Dict[str, Tensor]:
        """Mean error of angles, degrees; where vertices are known, mean distances in millimeters."""
        off = self.right_hand.low + outputs["parameters"].fractions * self.right_hand.range - batch["angles"]
        figures = {"angles_degrees": off.abs().mean().rad2deg()}
        if len(batch["vertices"]):
            errors = self.errors(outputs, batch)
            figures |= {f"{name}_mm": errors[name].mean() for name in ("joints", "vertices", "posed_vertices")}
        return figures

    def get_loss_dict(
        self, outputs: Dict[str, Any], batch: JointBatch, metrics_dict: Optional[Dict[str, Tensor]] = None
    ) -> Dict[str, Tensor]:
        terms = {"parameters": self._parameters_loss(outputs["parameters"], batch)}
        if len(batch["vertices"]):
            terms |= self._surface_losses(outputs, batch)
        weights = {name: getattr(self.config, f"{name}_loss_weight") for name in terms}
        return {name: weights[name] * term for name, term in terms.items() if weights[name]}

    def _parameters_loss(self, found: HandParameters, batch: JointBatch) -> Tensor:
        hand = self.right_hand
        return (
            (hand.low + found.fractions * hand.range - batch["angles"]).abs().mean()
            + (found.rotation - batch["rotation"]).abs().mean()
            + (found.wrist - batch["joints"][:, 0]).abs().mean()
            + 0.1 * (found.shape - batch["shape"]).abs().mean()
        )

    def _surface_losses(self, outputs: Dict[str, Any], batch: JointBatch) -> Dict[str, Tensor]:
        vertices, truth = outputs["vertices"], batch["vertices"]
        few, tips = len(truth), list(TIP_JOINTS)
        hand = self.right_hand.hand
        joints, posed_vertices = self.posed(outputs["parameters"], batch["scale"], few)
        found_tips = hand.keypoint_regressor[tips] @ vertices
        normals = face_normals(truth, hand.faces)
        along, true_along = (
            points[:, self.edges[:, 1]] - points[:, self.edges[:, 0]] for points in (vertices, truth)
        )
        lengths, true_lengths = along.norm(dim=-1), true_along.norm(dim=-1)
        directions = (along / lengths.clamp_min(1e-6)[..., None])[:, self.face_edges]
        return {
            "vertices": (vertices - truth).abs().mean(),
            "joints": (joints - batch["joints"]).abs().mean()
            + (found_tips - batch["joints"][:few, tips]).abs().mean(),
            "normals": (directions * normals[:, :, None]).sum(-1).abs().mean(),
            "edges": ((lengths - true_lengths) ** 2).mean() / true_lengths.mean() ** 2,
            "posed_vertices": (posed_vertices - truth).abs().mean(),
        }

    def get_image_metrics_and_images(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, outputs: Dict[str, Tensor], batch: JointBatch
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """Errors of one hand, and what is predicted beside the truth, both with the joints that are given."""
        figures = {name: float(value) for name, value in self.get_metrics_dict(self.predict(batch), batch).items()}
        return figures, {"img": torch.cat([outputs["rgb"], outputs["truth"]], 1)}

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: Any = None) -> Dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A sample's hand from a camera on white, and the joints that are given of it, which shine through skin.

        Returns:
            rgb (what is predicted), `truth`, accumulation and depth, each [H, W, C].
        """
        batch, prediction, view_to_camera = self.looked_at(camera)
        size = int(camera.width), int(camera.height)
        intrinsics = camera.get_intrinsics_matrices().reshape(3, 3).to(self.device)

        def seen(vertices: Tensor, faces: Tensor, colors: Tensor) -> DrawnHand:
            return drawn_hand(vertices, faces, colors, intrinsics, size, view_to_camera)

        def hand(vertices: Float[Tensor, "1 V 3"]) -> DrawnHand:
            placed, faces = in_view(vertices, batch["scale"])[0], self.right_hand.hand.faces
            return seen(placed, faces, clay_colors(placed, faces))

        given = in_view(batch["given"], batch["scale"])[0]
        balls, ball_faces = octahedra(given[given.isfinite().all(-1)])
        joints = seen(balls, ball_faces, balls.new_tensor(BALL_COLOR).expand(len(balls), 3))
        drawn, truth = hand(self._shown(prediction, batch)), hand(batch["vertices"])
        covered = torch.maximum(drawn.covered, joints.covered)
        depth = torch.where(drawn.covered > 0, drawn.depth, joints.depth)
        rgb, true_rgb = (_before(joints, found) for found in (drawn, truth))
        return {"rgb": rgb, "truth": true_rgb, "accumulation": covered, "depth": depth}

    def _shown(self, prediction: Dict[str, Any], batch: JointBatch) -> Float[Tensor, "1 V 3"]:
        """The surface that the viewer's control names, of a batch of one."""
        if self.surface_control.value == "true":
            return batch["vertices"]
        if self.surface_control.value == "posed model":
            return self.posed(prediction["parameters"], batch["scale"], 1)[1]
        return prediction["vertices"]


def in_view(points: Float[Tensor, "N P 3"], scale: Float[Tensor, " N"]) -> Float[Tensor, "N P 3"]:
    """Points of hands' frames in the axes of the cameras that show them (OpenCV), meters."""
    turned = points * scale[:, None, None] @ points.new_tensor(FRAME_TO_VIEW).T
    return turned + points.new_tensor(PLACE)


def octahedra(centers: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, "W 3"], Tensor]:
    """Vertices and triangles [8 N, 3] of an octahedron round each center, W = 6 N."""
    eye = torch.eye(3, device=centers.device)
    corners = centers[:, None] + BALL * torch.cat([eye, -eye])
    x, y, z, left, down, back = range(6)
    upper = ((x, y, z), (y, left, z), (left, down, z), (down, x, z))
    faces = torch.tensor([*upper, *((b, a, back) for a, b, _ in upper)], device=centers.device)
    first = 6 * torch.arange(len(centers), device=centers.device)
    return corners.flatten(0, 1), (faces + first[:, None, None]).flatten(0, 1)


def _before(joints: DrawnHand, hand: DrawnHand) -> Float[Tensor, "H W 3"]:
    """A hand on white, and joints that shine through it."""
    return SHINING * joints.over(hand.over(1.0)) + (1 - SHINING) * hand.over(joints.over(1.0))
