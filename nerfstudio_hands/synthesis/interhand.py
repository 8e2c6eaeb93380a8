"""A whole capture in the layout of InterHand2.6M, rendered, with the truth beside it."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.program.option_range import check_ranges, require_range
from nerfstudio_hands.program.threads import one_thread
from nerfstudio_hands.synthesis.calibration import check_calibration, written_cameras
from nerfstudio_hands.synthesis.dome import dome, dome_cameras
from nerfstudio_hands.synthesis.held_object import check_object
from nerfstudio_hands.synthesis.image_files import JPEG_QUALITY, write_image, write_mask
from nerfstudio_hands.synthesis.interhand_annotations import image_name, measure, write_annotations
from nerfstudio_hands.synthesis.landmarks import mislaid, seen_joints
from nerfstudio_hands.synthesis.made_up_mano import made_up_mean, write_made_up_mano
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence, pose_sequence
from nerfstudio_hands.synthesis.options import (
    FRAME_STEPS,
    MOST_PROCESSES,
    SPLITS,
    InterHandOptions,
    LandmarkOptions,
    check_images,
    write_options,
)
from nerfstudio_hands.synthesis.range_of_motion import SEQUENCES, play
from nerfstudio_hands.synthesis.render import render_frame
from nerfstudio_hands.synthesis.rig import CameraRig
from nerfstudio_hands.synthesis.scene import QUICK
from nerfstudio_hands.synthesis.subject import Subject, make_subject
from nerfstudio_hands.synthesis.truth_files import write_sequence, write_subject

FIRST_FRAME = 9018
PAUSE = 50
"""Steps between the last frame of a sequence and the first of the next."""

CENTER = np.array([0.03, -0.06, 1.04])
"""Where the hands are held, world meters, z up."""


@made_whole
def synthesize_interhand(root: Path, options: InterHandOptions, *, processes: int = 1) -> Pieces:
    """Render a capture of a made-up person.

    Writes `images` and `annotations` as InterHand2.6M has them, the hand model as `mano/MANO_{RIGHT,LEFT}.pkl`, and
    `truth`: `subject.npz` (shape, mean pose and faces), `<sequence>.npz` (poses, joints and vertices of each frame in
    meters, which annotations are outliers; sides left, right, NaN where absent), `cameras.json` (color responses), and
    for each picture `mask_hand/.../*.png` (what the hand model covers) and `mask_skin/.../*.png` (with the forearm).
    With an object there are masks of it in `obj_mask` beside `images`, its mesh in its own frame in `truth/subject.npz`
    (`object_vertices`, `object_faces`) and its poses in `truth/<sequence>.npz` (`object_to_world`). Of a subject that
    the shape space lacks `truth/subject.npz` has what `person_arrays` says; with other landmarks `<sequence>.npz` has
    `landmarks`, what is taken for the joints before any scatter, and `landmark_is_outlier`; with a wrong calibration
    `cameras.json` has the true matrices; and `options.json` says how all was made where it is not the default.
    The errors of the annotations are those of `interhand_annotations`. See `made_whole`.

    Args:
        root: Folder.
        options: What to render.
        processes: Frames are shared out to so many processes; the files do not depend on it.

    Raises:
        HandsError: The options make no sense.
    """
    _check(options, processes)
    try:
        _write_files(root, options)
        yield from _render_all(root, options, processes)
    finally:
        _production.cache_clear()


def _check(options: InterHandOptions, processes: int) -> None:
    check_ranges(options)
    require_range("--processes", processes, 1, MOST_PROCESSES)
    check_images(options.pictures, options.frames)
    check_calibration(options.calibration, options.num_cameras + options.gray_cameras)
    if options.split not in SPLITS:
        raise HandsError(f"--split: expected train, val or test, found '{options.split}': give one of the three.")
    if options.fps not in FRAME_STEPS:
        raise HandsError(f"--fps: expected 5 or 30, found {options.fps}: give one of the two.")
    unknown = [name for name in options.sequences if name not in SEQUENCES]
    if unknown or not options.sequences or len(set(options.sequences)) != len(options.sequences):
        raise HandsError(
            f"--sequences: expected different names out of {', '.join(SEQUENCES)}, found "
            f"{', '.join(options.sequences) or 'none'}: give some of these."
        )
    check_object(options.object, num_hands=max(len(SEQUENCES[name]) for name in options.sequences))


@dataclass(frozen=True)
class _Production:
    """All that is the same in every frame, and what the hands do."""

    subject: Subject
    rig: CameraRig
    sequences: list[MotionSequence]


@lru_cache(maxsize=1)
def _production(options: InterHandOptions) -> _Production:
    subject = make_subject(
        SIDES,
        subdivisions=options.subdivisions,
        quality=QUICK,
        seed=options.seed,
        held=options.object,
        has_own_tone=True,
        physique=options.subject,
    )
    cameras = dome_cameras(
        CENTER,
        num_color=options.num_cameras,
        num_gray=options.gray_cameras,
        rng=np.random.default_rng([options.seed, 3]),
    )
    sequences = []
    step = FRAME_STEPS[options.fps]
    first = FIRST_FRAME
    for name in options.sequences:
        rng = np.random.default_rng([options.seed, 4, list(SEQUENCES).index(name)])
        frames = first + step * np.arange(options.frames)
        motions = play(SEQUENCES[name], len(frames), rng)
        sequences.append(pose_sequence(name, frames, motions, subject, CENTER))
        first = int(frames[-1]) + PAUSE * step
    return _Production(subject, CameraRig(dome(CENTER, np.random.default_rng([options.seed, 2])), cameras), sequences)


def _write_files(root: Path, options: InterHandOptions) -> None:
    """Everything but pictures."""
    made = _production(options)
    write_made_up_mano(root, *SIDES)
    means = np.stack([made_up_mean(side) for side in SIDES])
    shape = made.subject.shape.double().numpy()
    measured, errors = [], []
    for index, truth in enumerate(made.sequences):
        seen = seen_joints(truth, options.landmarks, options.seed)
        found, is_outlier = mislaid(seen, options.landmarks, np.random.default_rng([options.seed, 11, index]))
        measured.append(measure(truth, found, shape, means, np.random.default_rng([options.seed, 5, index])))
        errors.append({"mano_is_outlier": measured[-1].is_outlier})
        if options.landmarks != LandmarkOptions():
            errors[-1] |= {"landmarks": seen, "landmark_is_outlier": is_outlier & ~np.isnan(seen[..., 0])}
    written = written_cameras(made.rig.cameras, options.calibration, options.seed)
    sequences = list(zip(made.sequences, measured, strict=True))
    write_annotations(root / "annotations", options, made.rig.cameras, written, sequences)
    _write_truth(root / "truth", made, means, errors, options)


def _write_truth(
    folder: Path,
    made: _Production,
    hands_mean: Float[np.ndarray, "2 15 3"],
    errors: list[dict[str, np.ndarray]],
    options: InterHandOptions,
) -> None:
    folder.mkdir()
    write_subject(folder, made.subject, options.seed, hands_mean=hands_mean)
    for truth, own in zip(made.sequences, errors, strict=True):
        write_sequence(folder, truth, **own)
    matrices = ("intrinsics", "world_to_camera") if options.calibration.degrees > 0 else ()
    cameras = {
        camera.name: {name: getattr(camera, name).tolist() for name in ("gain", "bias")}
        | {"gamma": camera.gamma, "is_grey": camera.is_gray}
        | {name: getattr(camera, name).tolist() for name in matrices}
        for camera in made.rig.cameras
    }
    (folder / "cameras.json").write_text(json.dumps(cameras, indent=1))
    write_options(folder, options)


def _render_all(root: Path, options: InterHandOptions, processes: int) -> Pieces:
    jobs = [(index, t) for index in range(len(options.sequences)) for t in range(options.frames)]
    pictures = [None] * (options.num_cameras + options.gray_cameras)
    if processes == 1:
        for job in jobs:
            _render_frame(root, options, *job)
            yield from pictures
        return
    # A forked process would inherit locks of torch and Warp in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        futures = [pool.submit(_render_frame, root, options, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
                yield from pictures
        finally:
            pool.shutdown(cancel_futures=True)


def _render_frame(root: Path, options: InterHandOptions, index: int, t: int) -> None:
    """All pictures of one frame, with their masks."""
    with one_thread():
        made = _production(options)
        truth = made.sequences[index]
        images = render_frame(
            made.subject, truth, t, made.rig, QUICK, supersampling=options.supersampling, taken=options.pictures
        )
        for number, (camera, image) in enumerate(images):
            noise = np.random.default_rng([options.seed, 7, index, t, number])
            name = image_name(options.capture, truth.name, camera.name, int(truth.frames[t]))
            picture = camera.develop(image.color, noise)
            write_image(root / "images" / options.split / name, picture, quality=JPEG_QUALITY)
            masks = {"truth/mask_hand": image.hand, "truth/mask_skin": image.skin}
            masks |= {"obj_mask": image.held} if made.subject.held else {}
            for folder, coverage in masks.items():
                write_mask((root / folder / options.split / name).with_suffix(".png"), coverage)
