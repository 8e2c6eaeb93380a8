"""Pictures of single hands in FreiHAND's layout, with our hand in MANO's file: what reads the one reads the other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.synthesis.image_files import JPEG_QUALITY, write_image, write_mask
from nerfstudio_hands.synthesis.made_up_mano import made_up_mean, write_made_up_mano
from nerfstudio_hands.synthesis.options import DrawnImageOptions, FreiHandOptions
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions

DIGITS = 6
"""Decimals of the numbers in the files: micrometers."""

IMAGES_PER_PERSON = 8
"""So many at least, as making somebody takes as long as drawing ten."""

MIDDLE_BASE = 9
"""The joint that FreiHAND's MANO entries place."""


@made_whole
def synthesize_freihand(folder: Path, options: FreiHandOptions) -> Pieces:
    """Draw the pictures of both splits and write FreiHAND's files; see `made_whole`."""
    write_made_up_mano(folder, "right")
    for part, source in image_sources(options):
        copies = options.copies if part == "training" else 1
        for index in range(len(source)):
            for copy in range(copies):
                picture = source.read_copy(index, copy)
                number = index + copy * len(source)
                write_image(folder / part / "rgb" / f"{number:08d}.jpg", picture.rgb, quality=JPEG_QUALITY)
                yield
            if part == "training":
                write_mask(folder / part / "mask" / f"{index:08d}.jpg", picture.mask.astype(float))
        _write_lists(folder, part, source, truth=part == "training" or options.truth)


def image_sources(options: DrawnImageOptions) -> list[tuple[str, SyntheticHands]]:
    """Pictures of both splits, by the name of FreiHAND's folder."""
    common = SyntheticHandsOptions(seed=options.seed, size=options.size, of_the_shape_space=True)

    def source(split: Literal["train", "test"], count: int) -> SyntheticHands:
        return SyntheticHands(replace(common, split=split, count=count, people=people_of(count)))

    return [("training", source("train", options.training)), ("evaluation", source("test", options.evaluation))]


def people_of(count: int) -> int:
    """How many people so many pictures or clips are of, at most as many as are drawn while training goes on."""
    return min(max(count // IMAGES_PER_PERSON, 1), SyntheticHandsOptions.people)


def _write_lists(folder: Path, part: str, source: SyntheticHands, *, truth: bool) -> None:
    labels = [source.labels(index) for index in range(len(source))]
    lists = {"K": [own.intrinsics for own in labels], "scale": [own.bone_length for own in labels]}
    if truth:
        lists |= {
            "xyz": [own.joints for own in labels],
            "verts": [own.vertices for own in labels],
            "mano": [_mano_entry(own)[None] for own in labels],
        }
    for name, values in lists.items():
        rounded = [np.round(np.asarray(value, np.float64), DIGITS).tolist() for value in values]
        (folder / f"{part}_{name}.json").write_text(json.dumps(rounded))


def _mano_entry(labels: HandLabels) -> Float[np.ndarray, "61"]:
    """Pose relative to the mean one, shape, and the scaled orthographic camera: u, v, and pixels a meter."""
    pose = labels.rotations.astype(np.float64).copy()
    pose[1:] -= made_up_mean("right")
    place, intrinsics = labels.joints[MIDDLE_BASE], labels.intrinsics
    scale = (intrinsics[0, 0] + intrinsics[1, 1]) / 2 / place[2]
    return np.array([*pose.ravel(), *labels.shape, *(scale * place[:2] + intrinsics[:2, 2]), scale])  # pyright: ignore[reportOptionalIterable]
