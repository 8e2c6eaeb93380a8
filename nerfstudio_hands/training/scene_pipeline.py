"""The pipelines of methods that see a hand and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Type, cast

import cv2
import numpy as np
import torch
import trimesh
from jaxtyping import UInt8
from torch import Tensor

from nerfstudio_hands.datamanagers.scene_batches import SceneBatch
from nerfstudio_hands.datamanagers.scene_datamanager import SceneDataManager, SceneDataManagerConfig
from nerfstudio_hands.dataparsers.hand_object_dataparser import HandObjectDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_pose_metrics import dexycb_metrics
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.evaluation.point_metrics import NUM_SAMPLES
from nerfstudio_hands.evaluation.scene_metrics import mean_distance_cm, mean_figures, scene_figures
from nerfstudio_hands.evaluation.submissions import write_dexycb_predictions
from nerfstudio_hands.export.scene_run import seen_scene
from nerfstudio_hands.export.seen_surface import FROM_BEHIND, FROM_THE_RIGHT
from nerfstudio_hands.files.atomic import write_whole
from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_images.hand_image import HandObjectImages
from nerfstudio_hands.hand_model.joint_frames import joint_frames
from nerfstudio_hands.model_components.scene_meshes import SceneMesh, SceneMeshes
from nerfstudio_hands.models.hand_object_sdf import HandObjectSDFModel
from nerfstudio_hands.program.memory import explain_out_of_memory
from nerfstudio_hands.program.option_range import bounded
from nerfstudio_hands.training.evaluation_files import evaluation_folder, write_account
from nerfstudio_hands.training.image_pipeline import ImagePipeline, ImagePipelineConfig
from nerfstudio_hands.transforms.rigid import apply_rigid

SIDE = 224
"""Pixels of a side of the pictures in which surfaces are seen from around."""

WHILE_TRAINING = 8
"""Held-out pictures of which surfaces are compared while a training goes on: one takes some seconds."""


@dataclass
class ScenePosePipelineConfig(ImagePipelineConfig):
    """Data manager and model of a method that sees where hand and object are."""

    _target: Type = field(default_factory=lambda: ScenePosePipeline)
    """target class to instantiate"""
    datamanager: SceneDataManagerConfig = field(default_factory=SceneDataManagerConfig)
    """Which pictures a step sees."""

    def check_data(self) -> str:
        if not isinstance(self.datamanager.dataparser, HandObjectDataParserConfig):
            raise HandsError(
                f"{type(self.datamanager.dataparser).__name__}: expected a data parser of hands that hold something, "
                "found one that knows none: train with hand-object-data, obman-data, dexycb-data or gsdf-data."
            )
        return super().check_data()


class ScenePosePipeline(ImagePipeline):
    """Joints and centers of objects are judged."""

    datamanager: SceneDataManager

    def arrays_of(self, batch: SceneBatch) -> Dict[str, np.ndarray]:  # pyright: ignore[reportIncompatibleMethodOverride]
        found, turned = self.model.predict(batch)["hand"], batch["turn"].mT
        frames, reposed = joint_frames(found.joints, self.model.network.rest, template_lengths=True)  # pyright: ignore
        centers = {"center": found.center, "true_center": batch["center"], "reposed": reposed}
        places = {name: value.reshape(len(turned), -1, 3) @ turned for name, value in centers.items()}
        places["is_mirrored"] = batch["is_mirrored"]
        return super().arrays_of(batch) | {name: value.cpu().numpy() for name, value in places.items()}

    def write_predictions(self, rows: List[int], predicted: Dict[str, np.ndarray], folder: Path) -> None:
        """Also DexYCB's result file, of left hands as they are."""
        super().write_predictions(rows, predicted, folder)
        joints = predicted["joints"].copy()
        joints[predicted["is_mirrored"], :, 0] *= -1
        write_dexycb_predictions(folder / "dexycb.txt", np.array(rows), joints)

    def figures(self, predicted: Dict[str, np.ndarray]) -> Dict[str, float]:
        """FreiHAND's and DexYCB's of the joints; gSDF's E_h, of joints with the mean hand's bone lengths, and E_o."""
        known = dexycb_metrics(predicted["joints"], predicted["true_joints"])
        return {
            **super().figures(predicted),
            **known,
            "e_h_cm": mean_distance_cm(predicted["reposed"], predicted["true_joints"]),
            "e_o_cm": mean_distance_cm(predicted["center"], predicted["true_center"]),
        }


@dataclass
class ScenePipelineConfig(ScenePosePipelineConfig):
    """Data manager and model of a method that sees the surfaces of hand and object."""

    _target: Type = field(default_factory=lambda: ScenePipeline)
    """target class to instantiate"""
    surface_samples: bounded(int, 100, 10**6) = NUM_SAMPLES
    """Points on each surface that an evaluation compares: published figures have 30,000."""


class ScenePipeline(ImagePipeline):
    """Surfaces are judged, and written."""

    config: ScenePipelineConfig
    datamanager: SceneDataManager

    @property
    def model(self) -> HandObjectSDFModel:
        return cast(HandObjectSDFModel, super().model)

    def get_average_eval_image_metrics(
        self, step: Optional[int] = None, output_path: Optional[Path] = None, get_std: bool = False
    ) -> Dict[str, float]:
        """gSDF's figures over held-out pictures; while a training goes on, over a few of them.

        Args:
            step: of the training that goes on.
            output_path: folder for pictures of predictions, their surfaces (folder `meshes`, axes of the crops' views,
                meters), the same from around beside the truth (folder `sides`) and `figures_of_meshes.json`; nothing
                is written without it.
            get_std: not used: the protocols say means.
        """
        self.eval()
        rows = self.judged_rows(WHILE_TRAINING if step is not None else None)
        with explain_out_of_memory("evaluation", "raise --pipeline.model.voxel"), torch.no_grad():
            judged = [self._judged(cast(SceneBatch, batch), output_path) for batch in self.batches_of(rows, 1)]
        if output_path is not None:
            account = [{"row": row, **one} for row, one in zip(rows, judged, strict=True)]
            with evaluation_folder(output_path):
                write_account(output_path / "figures_of_meshes.json", account)
                self.write_examples(rows, output_path)
        self.train()
        return mean_figures(judged)

    def _judged(self, batch: SceneBatch, output_path: Optional[Path]) -> Dict[str, float]:
        """Figures of one picture, the last of its clip."""
        last = len(batch["row"]) - 1
        scene = self.model.predict(batch)["scene"]
        meshes = self.model.meshes(scene, last)
        if output_path is not None:
            _write(meshes, output_path / "meshes", int(batch["row"][last]))
        true_hand, true_held = self._truth(batch, last)
        if output_path is not None:
            true = SceneMeshes(_scene_mesh(true_hand), true_held and _scene_mesh(true_held))
            _write_sides(batch["image"][last], meshes, true, output_path / "sides", int(batch["row"][last]))
        _, reposed = joint_frames(scene.joints, self.model.network.rest, template_lengths=True)
        joints, center = batch["joints"].cpu().numpy(), batch["center"].cpu().numpy()
        figures = {
            "e_h_cm": mean_distance_cm(reposed[last].cpu().numpy(), joints[last]),
            "e_o_cm": mean_distance_cm(scene.center[last].cpu().numpy(), center[last]),
            **scene_figures(
                _judgeable(meshes.hand),
                true_hand,
                _judgeable(meshes.object),
                true_held,
                num_samples=self.config.surface_samples,
            ),
        }
        # What knows no bones says no joints.
        unknown = {"e_h_cm"} if self.model.config.skeleton == "none" else set()
        return {name: value for name, value in figures.items() if name not in unknown and np.isfinite(value)}

    def _truth(self, batch: SceneBatch, index: int) -> tuple[Mesh, Optional[Mesh]]:
        """Hand and object of a picture, axes of its view."""
        source = cast(HandObjectImages, self.datamanager.sources[self.datamanager.test_split])
        faces = torch.from_numpy(np.ascontiguousarray(source.hand_faces())).long()
        hand = Mesh(batch["vertices"][index].cpu(), torch.cat([faces, closing_faces(faces)]))
        labels = source.labels(int(batch["row"][index]))
        if labels.held is None:
            return hand, None
        held_object, to_view = source.held_mesh(labels.held.name), batch["held"][index].cpu()
        faces = torch.from_numpy(np.ascontiguousarray(held_object.faces)).long()
        faces = faces.flip(1) if torch.linalg.det(to_view[:3, :3]) < 0 else faces
        return hand, Mesh(apply_rigid(to_view, torch.from_numpy(held_object.vertices)), faces)


def _judgeable(mesh: Optional[SceneMesh]) -> Optional[Mesh]:
    return None if mesh is None else Mesh(mesh.vertices.cpu(), mesh.faces.cpu())


def _scene_mesh(mesh: Mesh) -> SceneMesh:
    return SceneMesh(mesh.vertices.float(), mesh.faces)


def _write_sides(
    picture: UInt8[Tensor, "3 S S"], found: SceneMeshes, true: SceneMeshes, folder: Path, row: int
) -> None:
    """The picture, what was found in it from its right and from behind, and the truth the same ways, side by side."""
    tiles = [cv2.resize(picture.permute(1, 2, 0).cpu().numpy(), (SIDE, SIDE))]
    for surface in map(seen_scene, (found, true)):
        for turn in (FROM_THE_RIGHT, FROM_BEHIND):
            nothing = np.full((SIDE, SIDE, 3), 255, np.uint8)
            tiles.append(nothing if surface is None else surface.from_around(turn, SIDE))
    with evaluation_folder(folder):
        _, encoded = cv2.imencode(".png", np.concatenate(tiles, 1)[..., ::-1])
        write_whole(folder / f"{row:08d}.png", encoded.tobytes())


def _write(meshes: SceneMeshes, folder: Path, row: int) -> None:
    with evaluation_folder(folder):
        for name, mesh in (("hand", meshes.hand), ("object", meshes.object)):
            if mesh is not None:
                surface = trimesh.Trimesh(mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy(), process=False)
                write_whole(folder / f"{row:08d}_{name}.ply", surface.export(file_type="ply"))  # pyright: ignore[reportArgumentType]
