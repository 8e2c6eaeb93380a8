"""The result of a fit, and its file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import parsed_json, read_npz
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.fitting.silhouettes.mask_quality import MaskVerdict, mask_verdict
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.hand_model import HandPose

# Raised whenever a file of an older version would be read wrongly or a refit would give something clearly better.
FIT_VERSION = 6

LARGEST = 1e5
"""No angle in radians, place in metres or coefficient of a fitted hand is larger."""

UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What is raised while a damaged file is made sense of."""


@dataclass
class HandFit:
    """Hands fitted to a capture.

    Attributes:
        sides: The fitted hands, in the order left, right; H of them.
        frames: Names of the T frames.
        shape: Shape coefficients of the person, shared by both hands.
        displacement: Offset of each rest vertex of the `HandSurface` over `sides`, metres.
        pose: Poses [T, H, ...] in the capture's world, metres.
        camera_rotation: Axis-angle correction of each camera that took part: `X_cam' = R(correction) @ X_cam`, radians.
        camera_zoom: Logarithm of the factor on each such camera's focal length; none for one that is as calibrated.
        keypoints_3d: Joints in the world, triangulated or as they came with the capture; NaN where there are none. They
            are landmarks on a hand, not heads of bones: the model's joints lie some millimetres beside them.
        segmented_masks: Masks that the fit cut out of the pictures, by (frame, camera). They end at the wrist, and may
            miss bright rims.
        mask_coverage: Share of the projected hands that each of the capture's masks covers, by (frame, camera); 0 where
            it covers all else as well, NaN where no hand projects into the picture.
        report: Plain numbers and strings on how the fit went (JSON).
    """

    sides: tuple[str, ...]
    frames: list[str]
    shape: Float[Tensor, " K"]
    displacement: Float[Tensor, "V 3"]
    pose: HandPose
    camera_rotation: dict[str, Float[np.ndarray, " 3"]]
    keypoints_3d: Float[np.ndarray, "T 2 21 3"]
    camera_zoom: dict[str, float] = field(default_factory=dict)
    segmented_masks: dict[tuple[str, str], Bool[np.ndarray, "H W"]] = field(default_factory=dict)
    mask_coverage: dict[tuple[str, str], float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(sides: tuple[str, ...], frames: list[str], cameras: list[str], variables: Variables, **more: Any) -> HandFit:
        """What a fit to these frames and cameras found; `more` are further attributes."""
        turns = (turn.double().numpy() for turn in variables.camera_rotation)
        return HandFit(
            sides=sides,
            frames=list(frames),
            shape=variables.shape,
            displacement=variables.displacement,
            pose=variables.pose,
            camera_rotation=dict(zip(cameras, turns, strict=True)),
            camera_zoom={n: zoom for n, zoom in zip(cameras, variables.camera_zoom.tolist(), strict=True) if zoom},
            **more,
        )

    def corrected(self, camera: CaptureCamera) -> CaptureCamera:
        """The camera turned and zoomed by what the fit found; as it is where that says nothing of it."""
        if camera.name not in self.camera_rotation:
            return camera
        return camera.corrected(self.camera_rotation[camera.name], self.camera_zoom.get(camera.name, 0.0))

    def mask_verdict(self, key: tuple[str, str]) -> MaskVerdict:
        """What the capture's mask of (frame, camera) is good for; one that is not there for nothing."""
        return mask_verdict(self.mask_coverage.get(key, 0.0))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays by name, for an .npz."""
        header = {
            "version": FIT_VERSION,
            "sides": list(self.sides),
            "frames": list(self.frames),
            "cameras": list(self.camera_rotation),
            "camera_zoom": self.camera_zoom,
            "segmented_masks": [[*key, *mask.shape] for key, mask in self.segmented_masks.items()],
            "mask_coverage": [[*key, coverage] for key, coverage in self.mask_coverage.items()],
            "report": self.report,
        }
        return {
            "header": np.array(json.dumps(header)),
            "shape": self.shape.detach().cpu().numpy(),
            "displacement": self.displacement.detach().cpu().numpy(),
            "global_orient": self.pose.global_orient.detach().cpu().numpy(),
            "local_rotations": self.pose.local_rotations.detach().cpu().numpy(),
            "translation": self.pose.translation.detach().cpu().numpy(),
            "valid": self.pose.valid.cpu().numpy(),
            "camera_rotation": np.array([self.camera_rotation[name] for name in self.camera_rotation]).reshape(-1, 3),
            "keypoints_3d": np.asarray(self.keypoints_3d),
            **{f"mask_{number}": np.packbits(mask) for number, mask in enumerate(self.segmented_masks.values())},
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> HandFit:
        """What `to_arrays` gave.

        Raises:
            LookupError, TypeError, ValueError: An array is missing, or is not what it should be.
        """
        header = parsed_json(str(arrays["header"]))
        for kind in ("sides", "frames", "cameras"):
            require_once(header[kind], kind)
        count, hands = len(header["frames"]), len(header["sides"])
        tensor = {
            name: torch.from_numpy(of_shape(arrays, name, shape))
            for name, shape in {
                "shape": (None,),
                "displacement": (None, 3),
                "global_orient": (count, hands, 3),
                "local_rotations": (count, hands, 15, 3),
                "translation": (count, hands, 3),
                "valid": (count, hands),
            }.items()
        }
        shown = tensor["valid"]
        posed = (tensor[name][shown] for name in ("global_orient", "local_rotations", "translation"))
        numbers = (tensor["shape"], tensor["displacement"], *posed)
        if not all(bool((values.abs() < LARGEST).all()) for values in numbers):
            raise ValueError(f"hands of numbers that are not finite or beyond {LARGEST:g}")
        turns = of_shape(arrays, "camera_rotation", (len(header["cameras"]), 3))
        return HandFit(
            sides=tuple(header["sides"]),
            frames=header["frames"],
            shape=tensor["shape"],
            displacement=tensor["displacement"],
            pose=HandPose(
                global_orient=tensor["global_orient"],
                local_rotations=tensor["local_rotations"],
                translation=tensor["translation"],
                valid=tensor["valid"],
            ),
            camera_rotation=dict(zip(header["cameras"], turns, strict=True)),
            camera_zoom={name: float(zoom) for name, zoom in header["camera_zoom"].items()},
            keypoints_3d=of_shape(arrays, "keypoints_3d", (count, 2, 21, 3)),
            segmented_masks={
                (frame, name): _unpacked(arrays[f"mask_{number}"], (h, w))
                for number, (frame, name, h, w) in enumerate(header["segmented_masks"])
            },
            mask_coverage={(frame, name): float(coverage) for frame, name, coverage in header["mask_coverage"]},
            report=header["report"],
        )

    def save(self, path: Path) -> None:
        """Writes an .npz (`write_npz`).

        Raises:
            HandsError: The folder cannot be written or the disk is full.
        """
        write_npz(path, self.to_arrays(), expected="to write the fitted hands")

    @staticmethod
    def load(path: Path) -> HandFit:
        """Reads a file that `save` wrote.

        Raises:
            HandsError: There is no such file, it holds no fit, or another version wrote it.
        """
        path = Path(path)
        try:
            if not path.exists():
                raise FileNotFoundError
            arrays = read_npz(path)
            version = parsed_json(str(arrays["header"]))["version"]
            if version == FIT_VERSION:
                return HandFit.from_arrays(arrays)
        except FileNotFoundError as error:
            raise HandsError(f"{path}: expected fitted hands, found no such file: run `ns-hands fit` first.") from error
        except UNREADABLE as error:
            raise HandsError(
                f"{path}: expected fitted hands, found something else ('{error}'): remove it and run `ns-hands fit` "
                "again."
            ) from error
        raise HandsError(
            f"{path}: expected fitted hands of version {FIT_VERSION}, found version {version}: run `ns-hands fit` "
            "again."
        )


def require_fit_of(capture: Capture, fit: HandFit) -> None:
    """Raise a ValueError where a fit speaks of other frames, cameras or sizes of pictures than a capture has."""
    if fit.frames != capture.frames:
        raise ValueError(f"frames {fit.frames[:3]} instead of {capture.frames[:3]}")
    sizes = {camera.name: (camera.height, camera.width) for camera in capture.cameras}
    unknown = sorted({*fit.camera_rotation, *(name for _, name in fit.segmented_masks)} - sizes.keys())
    if unknown:
        raise ValueError(f"cameras that the capture has not: {', '.join(unknown[:6])}")
    for (frame, name), mask in fit.segmented_masks.items():
        if frame not in fit.frames or mask.shape != sizes[name]:
            raise ValueError(f"a mask of {mask.shape[1]}x{mask.shape[0]} pixels of frame {frame}, camera {name}")


def require_once(names: Sequence[str], kind: str) -> None:
    """Raise a ValueError where a name stands twice."""
    twice = sorted(str(name) for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{kind} of the same name: {', '.join(twice[:6])}")


def _unpacked(packed: np.ndarray, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """A mask of this height and width from its bits, all of them there."""
    height, width = size
    if packed.dtype != np.uint8 or min(size) < 1 or packed.shape != ((height * width + 7) // 8,):
        raise ValueError(f"a mask of {packed.shape} {packed.dtype} for {width}x{height} pixels")
    return np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)


def of_shape(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of floats or truths of this shape, in which None is any length.

    Raises:
        LookupError, ValueError: It is not there, or another.
    """
    found = arrays[name]
    fits = found.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in "fb":
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}")
    return found
