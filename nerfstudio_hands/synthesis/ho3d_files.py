"""Pictures of single hands in HO-3D's layout, with our hand in MANO's file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_images.formats.ho3d import TO_OPENCV, to_ho3d
from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.synthesis.freihand_files import image_sources
from nerfstudio_hands.synthesis.image_files import JPEG_QUALITY, write_image
from nerfstudio_hands.synthesis.made_up_mano import write_made_up_mano
from nerfstudio_hands.synthesis.options import Ho3dOptions

FOLDERS = {"training": ("train", "train.txt"), "evaluation": ("evaluation", "evaluation.txt")}
"""HO-3D's names of the splits, and the files that list their pictures."""


@made_whole
def synthesize_ho3d(root: Path, options: Ho3dOptions) -> Pieces:
    """Draw the pictures of both splits and write HO-3D's files; see `made_whole`."""
    write_made_up_mano(root, "right")
    for part, source in image_sources(options):
        folder, listed = FOLDERS[part]
        names = []
        for index in range(len(source)):
            picture = source.read(index)
            sequence = f"{'SM' if part == 'training' else 'AP'}{index // options.frames + 1}"
            names.append(f"{sequence}/{index % options.frames:04d}")
            _write_image(root / folder / sequence / "rgb" / f"{index % options.frames:04d}", picture.rgb, options)
            meta = root / folder / sequence / "meta" / f"{index % options.frames:04d}.pkl"
            meta.parent.mkdir(exist_ok=True)
            meta.write_bytes(pickle.dumps(_annotation(picture.labels, whole=part == "training" or options.truth)))
            yield
        (root / listed).write_text("\n".join(names) + "\n")


def _write_image(stem: Path, rgb: np.ndarray, options: Ho3dOptions) -> None:
    if options.version == 2:
        write_image(stem.with_suffix(".png"), rgb)
    else:
        write_image(stem.with_suffix(".jpg"), rgb, quality=JPEG_QUALITY)


def _annotation(labels: HandLabels, *, whole: bool) -> dict[str, np.ndarray | None]:
    """What HO-3D says of a hand; of a hidden one the root and the box."""
    joints, turns = to_ho3d(labels.joints), labels.rotations.copy()  # pyright: ignore[reportArgumentType]
    turns[0] = Rotation.from_matrix(TO_OPENCV[:, None] * Rotation.from_rotvec(turns[0]).as_matrix()).as_rotvec()
    return {
        "camMat": labels.intrinsics,
        "handJoints3D": joints if whole else joints[0],
        "handPose": turns.ravel() if whole else None,
        "handBeta": labels.shape if whole else None,
        "handBoundingBox": labels.box,
    }
