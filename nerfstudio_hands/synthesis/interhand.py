"""A whole capture in the layout of InterHand2.6M, rendered, with the truth beside it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import whole_folder
from nerfstudio_hands.hand_model.joint_limits import bend_fingers
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.mano_writer import write_mano_pickle
from nerfstudio_hands.hand_model.model import mirror_rotations, pose_hand
from nerfstudio_hands.program.option_range import check_ranges, require_range
from nerfstudio_hands.synthesis.dome import Dome, DomeCamera, dome, dome_cameras
from nerfstudio_hands.synthesis.held_object import check_object
from nerfstudio_hands.synthesis.interhand_annotations import SequenceTruth, image_name, measure, write_annotations
from nerfstudio_hands.synthesis.options import FRAME_STEPS, MOST_PROCESSES, SPLITS, InterHandOptions
from nerfstudio_hands.synthesis.performer import (
    DressedHand,
    DressedObject,
    dress,
    dress_object,
    light_hands,
    shoot,
    surface_vertices,
)
from nerfstudio_hands.synthesis.range_of_motion import SEQUENCES, perform
from nerfstudio_hands.synthesis.subject import Subject, make_subject

FIRST_FRAME = 9018
PAUSE = 50
"""Steps between the last frame of a sequence and the first of the next."""

CENTRE = np.array([0.03, -0.06, 1.04])
"""Where the hands are held, world metres, z up."""

JPEG_QUALITY = 95


def synthesize_interhand(
    output: Path,
    options: InterHandOptions,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render a capture of a made-up person.

    Writes `images` and `annotations` as InterHand2.6M has them, the hand model as `mano/MANO_{RIGHT,LEFT}.pkl`, and
    `truth`: `subject.npz` (shape, mean pose and faces), `<sequence>.npz` (poses, joints and vertices of each frame in
    metres, which annotations are outliers; sides left, right, NaN where absent), `cameras.json` (colour responses), and
    for each picture `mask_hand/.../*.png` (what the hand model covers) and `mask_skin/.../*.png` (with the forearm).
    With an object there are masks of it in `obj_mask` beside `images`, its mesh in its own frame in `truth/subject.npz`
    (`object_vertices`, `object_faces`) and its poses in `truth/<sequence>.npz` (`object_to_world`). The errors of the
    annotations are those of `interhand_annotations`. Everything is written to a temporary folder
    that takes its name in the end, so that an interruption leaves nothing that looks complete.

    Args:
        output: Folder that does not exist yet.
        options: What to render.
        processes: Frames are shared out to so many processes; the files do not depend on it.
        progress: Called with (pictures done, pictures in all).

    Returns:
        The folder.

    Raises:
        HandsError: The options make no sense, or the folder exists or cannot be written.
    """
    _check(options, processes)
    output = Path(output).expanduser()
    with whole_folder(output) as partial:
        try:
            _write_files(partial, options)
            _render_all(partial, options, processes, progress or (lambda done, total: None))
        finally:
            _stage.cache_clear()
    return output


def _check(options: InterHandOptions, processes: int) -> None:
    check_ranges(options)
    require_range("--processes", processes, 1, MOST_PROCESSES)
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
    check_object(options.object, num_hands=max(len(SEQUENCES[name]()) for name in options.sequences))


@dataclass(frozen=True)
class _Stage:
    """All that is the same in every frame, and what the hands do."""

    subject: Subject
    hands: tuple[DressedHand, DressedHand]
    thing: DressedObject | None
    """What is held; `subject` knows its shape."""
    room: Dome
    cameras: list[DomeCamera]
    sequences: list[SequenceTruth]


@lru_cache(maxsize=1)
def _stage(options: InterHandOptions) -> _Stage:
    subject = make_subject(SIDES, subdivisions=options.subdivisions, seed=options.seed, held=options.object)
    cameras = dome_cameras(
        CENTRE,
        num_colour=options.num_cameras,
        num_grey=options.grey_cameras,
        rng=np.random.default_rng([options.seed, 3]),
    )
    hands = tuple(
        dress(model, tessellation, options.subdivisions, subject.skin, subject.shape)
        for model, tessellation in zip(subject.models, subject.tessellations, strict=True)
    )
    sequences = []
    step = FRAME_STEPS[options.fps]
    first = FIRST_FRAME
    for name in options.sequences:
        rng = np.random.default_rng([options.seed, 4, list(SEQUENCES).index(name)])
        frames = first + step * np.arange(options.frames)
        sequences.append(_sequence(subject, name, frames, rng))
        first = int(frames[-1]) + PAUSE * step
    thing = dress_object(subject.held) if subject.held else None
    return _Stage(subject, hands, thing, dome(CENTRE, np.random.default_rng([options.seed, 2])), cameras, sequences)


def _sequence(subject: Subject, name: str, frames: np.ndarray, rng: np.random.Generator) -> SequenceTruth:
    motions = perform(SEQUENCES[name](), len(frames), rng)
    count = len(frames)
    sizes = {"global_orient": (3,), "local_rotations": (15, 3), "translation": (3,), "keypoints": (21, 3)}
    sizes["vertices"] = (subject.models[0].num_vertices, 3)
    object_to_world = None
    tables = {key: np.full((count, 2, *size), np.nan, dtype=np.float32) for key, size in sizes.items()}
    for side, motion in motions.items():
        s = SIDES.index(side)
        model = subject.models[s]
        turn = motion.global_orient, motion.local_rotations
        if subject.held:
            turn = motion.global_orient, subject.grasps[side].local_rotations.expand(count, -1, -1)
        free = pose_hand(model, *turn, torch.zeros(count, 3), subject.shape)
        middle = torch.from_numpy(CENTRE + motion.middle).float()
        translation = middle - free.keypoints[:, [0, 9, 12]].mean(1)
        posed = pose_hand(model, *turn, translation, subject.shape)
        values = (*turn, translation, posed.keypoints, posed.vertices)
        for key, value in zip(tables, values, strict=True):
            tables[key][:, s] = value.numpy()
        if subject.held:
            object_to_world = posed.bone_transforms[:, 0].double().numpy() @ subject.grasps[side].object_to_rest
    is_there = np.array([side in motions for side in SIDES])
    return SequenceTruth(name=name, frames=frames, is_there=is_there, object_to_world=object_to_world, **tables)


def _write_files(root: Path, options: InterHandOptions) -> None:
    """Everything but pictures."""
    stage = _stage(options)
    mean = bend_fingers(default_hand("right"), torch.tensor([0.1, 0.22, 0.26, 0.28, 0.26]), torch.zeros(5))
    hands_mean = {"right": mean.double().numpy(), "left": mirror_rotations(mean).double().numpy()}
    (root / "mano").mkdir()
    for model in stage.subject.models:
        write_mano_pickle(root / "mano" / f"MANO_{model.side.upper()}.pkl", model, hands_mean[model.side])

    shape = stage.subject.shape.double().numpy()
    means = np.stack([hands_mean[side] for side in SIDES])
    measured = [
        measure(truth, shape, means, np.random.default_rng([options.seed, 5, index]))
        for index, truth in enumerate(stage.sequences)
    ]
    write_annotations(
        root / "annotations",
        split=options.split,
        capture=options.capture,
        subject=options.seed,
        cameras=stage.cameras,
        sequences=list(zip(stage.sequences, measured, strict=True)),
    )
    truth_folder = root / "truth"
    truth_folder.mkdir()
    faces = {f"faces_{model.side}": model.faces.numpy().astype(np.int32) for model in stage.subject.models}
    thing = {}
    if stage.subject.held:
        held = stage.subject.held
        thing = {"object": held.kind, "object_vertices": held.vertices, "object_faces": held.faces.astype(np.int32)}
    np.savez_compressed(
        truth_folder / "subject.npz",
        seed=options.seed,
        sides=np.array(SIDES),
        shape=shape,
        hands_mean=means,
        **faces,
        **thing,
    )
    for truth, errors in zip(stage.sequences, measured, strict=True):
        names = ("frames", "is_there", "global_orient", "local_rotations", "translation", "keypoints", "vertices")
        arrays = {name: getattr(truth, name) for name in names}
        if truth.object_to_world is not None:
            arrays["object_to_world"] = truth.object_to_world
        np.savez_compressed(truth_folder / f"{truth.name}.npz", **arrays, mano_is_outlier=errors.is_outlier)
    responses = {
        camera.name: {
            "gain": camera.gain.tolist(),
            "bias": camera.bias.tolist(),
            "gamma": camera.gamma,
            "is_grey": camera.is_grey,
        }
        for camera in stage.cameras
    }
    (truth_folder / "cameras.json").write_text(json.dumps(responses, indent=1))


def _render_all(root: Path, options: InterHandOptions, processes: int, progress: Callable[[int, int], None]) -> None:
    jobs = [(index, t) for index in range(len(options.sequences)) for t in range(options.frames)]
    num_cameras = options.num_cameras + options.grey_cameras
    total = len(jobs) * num_cameras
    if processes == 1:
        for done, job in enumerate(jobs):
            _render_frame(root, options, *job)
            progress((done + 1) * num_cameras, total)
        return
    # A forked process would inherit locks of torch and Warp in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        futures = [pool.submit(_render_frame, root, options, *job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures)):
                future.result()
                progress((done + 1) * num_cameras, total)
        finally:
            pool.shutdown(cancel_futures=True)


def _render_frame(root: Path, options: InterHandOptions, index: int, t: int) -> None:
    """All pictures of one frame, with their masks."""
    with _one_thread():
        stage = _stage(options)
        truth = stage.sequences[index]
        sides = np.flatnonzero(truth.is_there)
        hands = [stage.hands[s] for s in sides]
        surfaces = [_surface(stage, truth, t, s) for s in sides]
        if stage.thing is not None:
            pose = truth.object_to_world[t]
            hands.append(stage.thing)
            surfaces.append(stage.subject.held.vertices @ pose[:3, :3].T + pose[:3, 3])
        lit = light_hands(hands, surfaces, stage.room)
        for number, camera in enumerate(stage.cameras):
            shot = shoot(lit, camera, supersampling=options.supersampling)
            picture = camera.develop(shot.colour, np.random.default_rng([options.seed, 7, index, t, number]))
            name = image_name(options.capture, truth.name, camera.name, int(truth.frames[t]))
            _write_picture(root / "images" / options.split / name, picture, quality=JPEG_QUALITY)
            masks = {"truth/mask_hand": shot.hand, "truth/mask_skin": shot.skin}
            if stage.thing is not None:
                masks["obj_mask"] = shot.held
            for folder, coverage in masks.items():
                mask = np.where(coverage > 0.5, 255, 0).astype(np.uint8)
                _write_picture((root / folder / options.split / name).with_suffix(".png"), mask)


def _surface(stage: _Stage, truth: SequenceTruth, t: int, side: int) -> Float[np.ndarray, "W 3"]:
    pose = (truth.global_orient, truth.local_rotations, truth.translation)
    arrays = (torch.from_numpy(values[t : t + 1, side]) for values in pose)
    posed = pose_hand(stage.subject.models[side], *arrays, stage.subject.shape)
    wrist = posed.bone_transforms[0, 0].double().numpy()
    return surface_vertices(stage.hands[side], posed.vertices[0].double().numpy(), wrist)


def _write_picture(path: Path, picture: UInt8[np.ndarray, "H W *channels"], **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whatever the machine does beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
