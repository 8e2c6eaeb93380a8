"""`hand-object-sdf`: closed surfaces of a hand and what it holds, from one picture or a clip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Type

import torch
from jaxtyping import Float
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.viewer.viewer_elements import ViewerDropdown
from torch import Tensor
from torch.nn import Module, Parameter

from nerfstudio_hands.datamanagers.scene_batches import SceneBatch
from nerfstudio_hands.datamanagers.scene_datamanager import REACH, SceneDataManagerConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.backbone import load_imagenet
from nerfstudio_hands.estimators.hand_object.distance_network import DistanceNetworkOptions
from nerfstudio_hands.estimators.hand_object.mean_hand import MeanHand
from nerfstudio_hands.estimators.hand_object.scene_network import PredictedScene, SceneNetwork, Skeletons
from nerfstudio_hands.files.checkpoints import checkpoint_path, model_weights, read_checkpoint, require_same_weights
from nerfstudio_hands.hand_model.joint_frames import resting_joints
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.model_components.drawn_hand import drawn_hand
from nerfstudio_hands.model_components.hand_losses import mean_millimeters, weighted_mean
from nerfstudio_hands.model_components.scene_losses import CLAMP, distance_loss, own_points, place_loss
from nerfstudio_hands.model_components.scene_meshes import SCENE_COLORS, SceneMeshes, scene_colors, scene_meshes
from nerfstudio_hands.model_components.scene_network_file import SHIPPED, load_scene_predictor
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor
from nerfstudio_hands.model_components.schedules import before_each_step
from nerfstudio_hands.models.hand_object_pose import WristDepth
from nerfstudio_hands.models.image_model import ImageModel, ImageModelConfig, encoder_and_heads
from nerfstudio_hands.program.option_range import Fraction, Weight, bounded

EVERYTHING, BONES = "picture and bones", "bones alone"
"""What the viewer shows surfaces of: all that heads know, or without the features of the picture."""


@dataclass
class HandObjectSDFModelConfig(ImageModelConfig):
    """Networks and losses; a weight of 0 leaves a term out."""

    _target: Type = field(default_factory=lambda: HandObjectSDFModel)
    """target class to instantiate"""
    begin_with: str = ""
    """Network that a training begins with, pose network and all: "shipped" is the one that comes along, else a file
    that `ns-hands predict --save-network` wrote. One that looks at no pictures (--pipeline.model.image none, as the
    shipped one) gives its pose network and its heads to one that does."""
    pose_run: Optional[Path] = None
    """Checkpoints of a run of hand-object-pose (its nerfstudio_models), whose network says where the bones are. It does
    not learn on, and is kept in the checkpoints of this method. Encoders begin with its encoder's weights, where no
    other ones are given."""
    heads_run: Optional[Path] = None
    """Checkpoints of a run of this method, whose heads are begun with; it may have known no pictures."""
    skeleton: Skeletons = "network"
    """Where bones come from: the pose network, labels (a check of what heads can do), or nowhere but the wrist."""
    cells: bounded(int, 8, 128) = 32
    """Of volumes along their depth; that of the pose network is the same."""
    image: Literal["aligned", "global", "none"] = "aligned"
    """What heads know of the picture: its features where a point is seen, those of the whole, or nothing."""
    center: Literal["shared", "own"] = "shared"
    """Whether one encoder serves distances and the object's center, or each has its own."""
    hand_features: Literal[3, 6, 21, 36, 51] = 51
    """What the hand's head knows of the skeleton: the place from the wrist, and in no bone's frame, in the wrist's, and
    in those of one, two or three bones a finger."""
    object_features: Literal[3, 6, 9, 69, 72] = 72
    """What the object's head knows: the place from the wrist, from the object's center (6), from the wrist's frame (9),
    from all joints (69), or all of it."""
    mean_hand: bool = True
    """Whether heads are told how far a point is from the mean hand on the seen bones, and that of the hand says what
    has to be added; without, as gSDF has it, they know of bones alone."""
    hidden_dim: bounded(int, 8, 2048) = 256
    """Width of the heads."""
    num_layers: bounded(int, 1, 16) = 4
    """Hidden layers of the heads."""
    dropout: Fraction = 0.0
    """Share of the hidden numbers of heads that a step leaves out (gSDF: 0.2)."""
    clip: Literal["none", "published", "ordered"] = "none"
    """How pictures of a clip (--pipeline.datamanager.clip) are looked at: each alone, together, or together and in
    their order."""
    clip_depth: bounded(int, 1, 16) = 2
    """Layers of each of the two transformers of clips."""
    wrist: WristDepth = "given"
    """Where the depth of wrists comes from in evaluations; training is always told."""
    voxel: bounded(float, 1e-4, 0.05) = 0.0025
    """Edge of the voxels of meshes, meters."""
    all_points_from: Fraction = 0.75
    """Part of the training from which both distances are learned at all points, and not only at each one's own."""
    distance_loss_weight: Weight = 1.0
    """Clamped distances."""
    center_loss_weight: Weight = 1.0
    """The object's center, per square decimeter."""

    def predictor(self, data: SceneDataManagerConfig) -> ScenePredictor | None:
        if self.skeleton != "network":
            return None
        network = self.scene_network()
        return ScenePredictor(
            network,
            size=data.size,
            margin=data.margin,
            clip=data.clip,
            reach=REACH,
            voxel=self.voxel,
            affine=data.affine,
        )

    def network_options(self) -> DistanceNetworkOptions:
        """The network of distances."""
        names = DistanceNetworkOptions.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        return DistanceNetworkOptions(**{name: getattr(self, name) for name in names})

    def scene_network(self) -> SceneNetwork:
        """All networks, without weights."""
        hand = load_hand(self.hand_model, "right")
        return SceneNetwork(
            self.network_options(),
            resting_joints(hand),
            skeleton=self.skeleton,
            pose_backbone=self.backbone,
            cells=self.cells,
            mean_hand=MeanHand.of(hand) if self.mean_hand and self.skeleton != "none" else None,
        )


@dataclass
class GraspingFieldModelConfig(HandObjectSDFModelConfig):
    """After Grasping Field (Karunratanakul et al., 3DV 2020): distances from the whole picture, no skeleton."""

    skeleton: Skeletons = "none"
    image: Literal["aligned", "global", "none"] = "global"
    hand_features: Literal[3, 6, 21, 36, 51] = 3
    object_features: Literal[3, 6, 9, 69, 72] = 3
    mean_hand: bool = False


@dataclass
class AlignSDFModelConfig(HandObjectSDFModelConfig):
    """After AlignSDF (Chen et al., ECCV 2022): distances from the whole picture, aligned by wrist and center alone."""

    image: Literal["aligned", "global", "none"] = "global"
    hand_features: Literal[3, 6, 21, 36, 51] = 6
    object_features: Literal[3, 6, 9, 69, 72] = 6
    mean_hand: bool = False


class HandObjectSDFModel(ImageModel):
    """The networks and their losses."""

    config: HandObjectSDFModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        self.network = self.config.scene_network()
        self.shown_control = ViewerDropdown("Shown", "both", ["both", "hand", "object"])
        hint = "What surfaces are made of."
        self.sight_control = ViewerDropdown("Heads know", EVERYTHING, [EVERYTHING, BONES], hint=hint)
        self._over = 0.0

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def advance(over: float) -> None:
            self._over = over

        return [*super().get_training_callbacks(attributes), before_each_step(attributes, advance)]

    def begin(self) -> bool:
        """Takes first weights from elsewhere, for a training that goes on from nothing; says whether the encoder has
        any.

        Raises:
            HandsError: The pose network's run is not named, or a file cannot be read or belongs to another network.
        """
        config, network = self.config, self.network
        if config.begin_with:
            path = SHIPPED if config.begin_with == "shipped" else Path(config.begin_with)
            self._take_network(load_scene_predictor(path).network)
            return True
        if network.pose is not None:
            if config.pose_run is None:
                raise HandsError(
                    "--pipeline.model.pose-run: expected the nerfstudio_models folder of a run of hand-object-pose, "
                    "found none: train that first (ns-train hand-object-pose), or go on from a whole network with "
                    "--pipeline.model.begin-with shipped, or give --pipeline.model.skeleton."
                )
            _load(network.pose, _weights_of(config.pose_run, "network."))
        if config.heads_run is not None:
            self._take_heads(_weights_of(config.heads_run, "network.distance."))
        if config.pose_run is not None and config.backbone_weights is None:
            self._take_sight(_weights_of(config.pose_run, "network."))
            return True
        encoders = [network.distance.encoder, network.distance.center_encoder]
        return all([load_imagenet(one, config.backbone_weights) for one in encoders if one is not None])

    def _take_network(self, learned: SceneNetwork) -> None:
        network, distance = self.network, self.network.distance
        sees_more = distance.encoder is not None and learned.distance.encoder is None
        if network.pose is None or learned.pose is None or not sees_more:
            _load(network, learned.state_dict())
            return
        _load(network.pose, learned.pose.state_dict())
        self._take_heads(learned.distance.state_dict())
        self._take_sight(learned.pose.state_dict())

    def _take_sight(self, learned: Dict[str, Tensor]) -> None:
        """A pose network's encoder, and where it looks for the object's center."""
        distance = self.network.distance
        if distance.encoder is None:
            return
        # The last of the volumes is that of the object's center.
        volumes = {name: value[-self.config.cells :] for name, value in learned.items() if name.startswith("volumes.")}
        learned = learned | volumes
        places = {
            "encoder.": [distance.encoder, distance.center_encoder],
            "neck.": [distance.neck, distance.center_neck],
            "volumes.": [distance.center],
        }
        for prefix, parts in places.items():
            for part in parts:
                if part is not None:
                    _load(part, _part(learned, prefix))

    def _take_heads(self, learned: Dict[str, Tensor]) -> None:
        """Heads of a network of distances, which may have known no pictures."""
        for name in ("hand", "object"):
            _load(getattr(self.network.distance, name), _part(learned, f"{name}."))
        if self.network.distance.encoder is not None:
            # They have seen zeros in place of a picture, and go on from there.
            for parameter in self.network.distance.image.parameters():
                torch.nn.init.zeros_(parameter)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        distance = self.network.distance
        encoders = [part for part in (distance.encoder, distance.center_encoder) if part is not None]
        groups = encoder_and_heads(distance, encoders)
        # Few layers, of features that lie about zero: they bear, and need, a higher rate than the rest.
        distances = [*distance.hand.parameters(), *distance.object.parameters()]
        of_distances = {id(parameter) for parameter in distances}
        others = [parameter for parameter in groups.pop("heads") if id(parameter) not in of_distances]
        return groups | ({"heads": others} if others else {}) | {"distances": distances}

    def predict(self, batch: SceneBatch) -> Dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        is_told = self.training or self.config.wrist == "given" or self.network.pose is None
        scene = self.network(
            batch["image"].float() / 255,
            batch["focal"],
            wrist=batch["joints"][:, 0] if is_told else None,
            joints=batch["joints"],
            center=batch["center"],
            clip=int(batch["clip"]),
        )
        found: Dict[str, Any] = {"scene": scene}
        if batch["points"].shape[1]:
            found["distances"] = self.network.distance.distances(scene.seen, scene.skeleton, batch["points"])
        return found

    def meshes(self, scene: PredictedScene, index: int) -> SceneMeshes:
        """Surfaces of one of the scenes."""
        return scene_meshes(self.network.distance, scene, index, reach=REACH, voxel=self.config.voxel)

    def get_metrics_dict(self, outputs: Dict[str, Any], batch: SceneBatch) -> Dict[str, Tensor]:
        """Mean errors, in millimeters, of joints relative to the wrist, of the object's center, and of the distances of
        hand and object at points within the clamp."""
        scene: PredictedScene = outputs["scene"]
        joints, truth = scene.joints, batch["joints"]
        figures = {
            "joints_mm": mean_millimeters(joints - joints[:, :1] - (truth - truth[:, :1])),
            "center_mm": mean_millimeters(scene.center - batch["center"]),
        }
        if "distances" in outputs:
            off = (outputs["distances"].detach() - batch["distances"]).abs()
            near = batch["distances"].abs() < CLAMP
            for kind, name in enumerate(("hand_mm", "object_mm")):
                figures[name] = 1000 * weighted_mean(off[..., kind].nan_to_num(), near[..., kind])
        return figures

    def get_loss_dict(
        self, outputs: Dict[str, Any], batch: SceneBatch, metrics_dict: Optional[Dict[str, Tensor]] = None
    ) -> Dict[str, Tensor]:
        counted = own_points(batch["of_object"])
        if self._over >= self.config.all_points_from:
            counted = torch.ones_like(counted)
        losses = {
            "distance": self.config.distance_loss_weight
            * distance_loss(outputs["distances"], batch["distances"], counted)
        }
        if self.config.image != "none" and self.config.center_loss_weight:
            center = place_loss(outputs["scene"].center[:, None], batch["center"][:, None])
            losses["center"] = self.config.center_loss_weight * center
        return losses

    def draw(
        self,
        prediction: Dict[str, Any],
        intrinsics: Float[Tensor, "3 3"],
        view_to_camera: Float[Tensor, "4 4"],
        width: int,
        height: int,
    ) -> Dict[str, Float[Tensor, "H W C"]]:
        known = self.sight_control.value
        if known not in prediction:
            scene: PredictedScene = prediction["scene"]
            if known == BONES:
                scene = replace(scene, seen=replace(scene.seen, maps=None, whole=None))
            # A clip is judged, and looked at, by its last picture.
            prediction[known] = self.meshes(scene, len(scene.joints) - 1)
        meshes: SceneMeshes = prediction[known]
        shown = self.shown_control.value
        mesh, of_object = SceneMeshes(
            None if shown == "object" else meshes.hand, None if shown == "hand" else meshes.object
        ).both()
        if not len(mesh.vertices):
            nothing = torch.zeros(height, width, 1, device=self.device)
            return {"rgb": nothing.expand(-1, -1, 3), "accumulation": nothing, "depth": nothing}
        colors = scene_colors(mesh, of_object, SCENE_COLORS)
        return drawn_hand(mesh.vertices, mesh.faces, colors, intrinsics, (width, height), view_to_camera).layers()


def _weights_of(run: Path, prefix: str) -> Dict[str, Tensor]:
    """Weights of a part of the model of a run."""
    return _part(model_weights(read_checkpoint(checkpoint_path(run))["pipeline"]), prefix)


def _part(weights: Dict[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _load(part: Module, weights: Dict[str, Tensor]) -> None:
    """Weights into a part of the networks.

    Raises:
        HandsError: They are those of another one.
    """
    require_same_weights(part.state_dict(), weights)
    part.load_state_dict(weights)
