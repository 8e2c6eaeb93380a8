"""Two videos as a phone takes them, rendered, with the truth beside them: round a still hand, and of a moving one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.board import Board
from nerfstudio_hands.calibration.formats.anipose import anipose_text
from nerfstudio_hands.calibration.formats.transforms_json import transforms_text
from nerfstudio_hands.calibration.hand_scale import LANDMARK_SHARE, hand_length
from nerfstudio_hands.calibration.lens import Lens, normalized_points
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.files.video_writing import VideoFile
from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_model import gestures
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.synthesis.light import outward
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence, moved, pose_sequence, posed_surfaces
from nerfstudio_hands.synthesis.motion_takes import Person, perform
from nerfstudio_hands.synthesis.options import PhoneOptions
from nerfstudio_hands.synthesis.range_of_motion import UPRIGHT, right_motion, wandering
from nerfstudio_hands.synthesis.render import render_camera
from nerfstudio_hands.synthesis.rig import RigCamera, look_at, pinhole
from nerfstudio_hands.synthesis.scene import QUICK, Scene, at_other_places, light_scene
from nerfstudio_hands.synthesis.shading import Shader, vertex_shader
from nerfstudio_hands.synthesis.studio import studio
from nerfstudio_hands.synthesis.subject import Subject, make_subject
from nerfstudio_hands.synthesis.table import table_with_board
from nerfstudio_hands.synthesis.truth_files import write_sequence, write_skin, write_subject
from nerfstudio_hands.transforms.color import GAMMA
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

ORBIT, FILM = "orbit", "film"
"""Names of the videos."""

VIEW = 68.0
"""Degrees that a phone sees along the longer side, give or take a few."""

LENS = (0.06, -0.09, 6e-4, -4e-4)
"""k1, k2, p1, p2 of its lens, give or take a fifth."""

SHARE_OF_WIDTH = 9 / 16

MOMENTS = (-0.375, -0.125, 0.125, 0.375)
"""Middles of the quarters of the time in which the shutter is open, as shares of it."""

QUARTERS = ((-0.25, -0.25), (0.25, 0.25), (-0.25, 0.25), (0.25, -0.25))
"""Where in a pixel it is sampled, pixels, one moment of the shutter each."""

ORBIT_DISTANCE, ORBIT_ELEVATION = (0.50, 0.04), (44.0, 13.0)
"""Meters and degrees from the hand, and by how much these swing."""

SHAKE = (0.6, 1.7, 3.1)
"""Hertz of a hand that holds a phone, by which it is moved and turned by `SHAKEN`."""

SHAKEN = (0.0025, 0.01)
"""Meters and radians."""

ORBIT_TARGET = np.array([-0.01, -0.05, 0.03])
"""What is filmed, meters."""

FILM_CENTER = np.array([0.0, 0.0, 0.3])
FILM_PLACE = (0.45, -75.0, 12.0)
"""Meters, azimuth and elevation in degrees from there of the phone that stands still: it sees the palm."""

CALM = 0.35
"""Share of a reach over a workspace: in a picture of a phone a hand stays before it."""

DRIFT_HERTZ = (0.05, 0.13)

TEXEL = 5e-4
"""Meters of the table a texel, for pictures of `FINE_AT` pixels along the longer side."""

FINE_AT = 960

CRF = 17
"""Quality of H.264, about that of a phone's many megabits."""


@made_whole
def synthesize_phone(root: Path, options: PhoneOptions) -> Pieces:
    """Film a made-up person's hand with a made-up phone that is held upright.

    Writes `orbit.mp4`, taken once round a hand that rests on a table beside a sheet with a ChArUco board (`Board()`
    with squares of `options.square`), and `film.mp4`, in which a phone that stands still sees a moving hand. Both are
    stored lying, with a display matrix that says how to turn them, have the distortion of a lens, blur, and wander in
    exposure. `truth` has `subject.npz`, `orbit.npz` and `film.npz` as InterHand2.6M's layout has them here (joints and
    vertices of each frame, meters), `mesh_orbit.ply`, the skin that was rendered in the orbit, cameras of upright
    pictures in `orbit.json` (transforms.json of nerfstudio, a camera a picture) and `film.toml` (anipose), and
    `options.json`. See `made_whole`.

    Raises:
        HandsError: The options make no sense.
    """
    check_ranges(options)
    subject = make_subject(
        (options.hand,), subdivisions=options.subdivisions, quality=QUICK, seed=options.seed, has_own_tone=True,
        physique=options.subject,
    )  # fmt: skip
    still, moving = _still_hand(subject, options), _moving_hand(subject, options)
    phone = Phone.draw(options)
    path = CarriedPhone(options)
    film_camera = _standing()
    truth = root / "truth"
    truth.mkdir()
    write_subject(truth, subject, options.seed)
    write_sequence(truth, still)
    write_sequence(truth, moving)
    skin = [own for mesh, own in posed_surfaces(subject, still, 0) if mesh.kind == "skin"]
    write_skin(truth / "mesh_orbit.ply", subject, skin)
    placed = {f"{t:06d}.png": phone.at(f"{t:06d}.png", path.at(time)) for t, time in enumerate(path.times)}
    (truth / "orbit.json").write_text(transforms_text(placed))
    (truth / "film.toml").write_text(anipose_text([phone.at(FILM, film_camera)], unit=1.0))
    (truth / "options.json").write_text(json.dumps(asdict(options), indent=1))
    for name, pictures, fps in (
        (ORBIT, _orbit(subject, still, phone, path, options), 1 / path.period),
        (FILM, _film(subject, moving, phone, film_camera, options), options.fps),
    ):
        rng = np.random.default_rng([options.seed, 24, name == FILM])
        drift = options.drift * wandering(np.arange(options.frames) / fps, DRIFT_HERTZ, (1,), rng)
        with VideoFile(root / f"{name}.mp4", fps=fps, crf=CRF, turned=90) as video:
            for picture, gain in zip(pictures, 1 + drift, strict=True):
                # A phone that is held upright stores pictures that lie on their side.
                video.add(np.rot90(phone.developed(picture, gain, rng), -1))
                yield


def true_hand_length(root: Path) -> float:
    """Meters that a ruler says from the wrist's crease to the tip of the middle finger of the hand in a folder of
    videos."""
    with np.load(root / "truth" / f"{FILM}.npz") as file:
        return LANDMARK_SHARE * hand_length(file["keypoints"])


@dataclass(frozen=True)
class Phone:
    """The camera of a phone that is held upright.

    Attributes:
        camera: K, lens and size.
    """

    camera: CalibratedCamera

    @staticmethod
    def draw(options: PhoneOptions) -> Phone:
        """One of many."""
        rng = np.random.default_rng([options.seed, 20])
        height = options.resolution // 2 * 2
        width = round(height * SHARE_OF_WIDTH / 2) * 2
        focal = height / 2 / np.tan(np.radians(VIEW * rng.uniform(0.96, 1.04)) / 2)
        middle = np.array([width, height]) * (0.5 + rng.uniform(-0.01, 0.01, 2))
        lens = Lens("opencv", tuple((np.array(LENS) * rng.uniform(0.8, 1.2, 4)).tolist()))
        return Phone(CalibratedCamera("phone", pinhole((focal, focal * 1.001), middle), lens, None, (width, height)))

    def at(self, name: str, world_to_camera: Float[np.ndarray, "4 4"]) -> CalibratedCamera:
        """The camera somewhere, for what is said of it."""
        return replace(self.camera, name=name, world_to_camera=world_to_camera)

    def pinhole(self, world_to_camera: Float[np.ndarray, "4 4"], shift: tuple[float, float] = (0, 0)) -> RigCamera:
        """A camera without distortion that sees all that the phone sees, its samples moved by parts of a pixel."""
        intrinsics, (width, height) = self._wide
        moved = intrinsics - np.array([[0, 0, shift[0]], [0, 0, shift[1]], [0, 0, 0]])
        return RigCamera("phone", moved, world_to_camera, width, height, np.ones(3))

    def through_lens(self, picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "H W 3"]:
        """What the lens makes of a picture of `pinhole`, linear between pixels."""
        return cv2.remap(picture.astype(np.float32), *self._maps, interpolation=cv2.INTER_LINEAR)

    def developed(
        self, picture: Float[np.ndarray, "h w 3"], gain: Float[np.ndarray, "1"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Pixel values as they are stored, of values of a picture of `pinhole`; the gain is one on light."""
        response = self.pinhole(np.eye(4))
        return replace(response, gain=np.repeat(gain ** (1 / GAMMA), 3)).develop(self.through_lens(picture), rng)

    @cached_property
    def _rays(self) -> Float[np.ndarray, "H W 2"]:
        """Directions (x/z, y/z) of all pixels."""
        width, height = self.camera.size  # pyright: ignore[reportGeneralTypeIssues]
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        return normalized_points(np.stack([x, y], -1) + PIXEL_CENTER, self.camera.intrinsics, self.camera.lens)

    @cached_property
    def _wide(self) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
        """K and size of the camera without distortion; it has a pixel to spare all around."""
        focal = np.diag(self.camera.intrinsics)[:2]
        low, high = self._rays.min((0, 1)) * focal - 2, self._rays.max((0, 1)) * focal + 2
        width, height = np.ceil(high - low).astype(int).tolist()
        return pinhole((focal[0], focal[1]), -low), (width, height)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Where pixels lie in pictures of the camera without distortion; OpenCV counts from the first center."""
        intrinsics, _ = self._wide
        pixels = self._rays @ intrinsics[:2, :2] + intrinsics[:2, 2] - PIXEL_CENTER
        return pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32)


class CarriedPhone:
    """Where a phone is that somebody carries once round a hand."""

    def __init__(self, options: PhoneOptions) -> None:
        """See `PhoneOptions`."""
        self.period = options.orbit_seconds / options.frames
        self.times = self.period * np.arange(options.frames)
        rng = np.random.default_rng([options.seed, 21])
        self._start, self._seconds, self._seed = rng.uniform(0, 2 * np.pi), options.orbit_seconds, options.seed

    def at(self, time: float) -> Float[np.ndarray, "4 4"]:
        """World-to-camera transform at a time in seconds."""
        around = 2 * np.pi * time / self._seconds
        shake = wandering(np.array([time]), SHAKE, (7,), np.random.default_rng([self._seed, 22]))[0]
        distance = ORBIT_DISTANCE[0] + ORBIT_DISTANCE[1] * np.sin(3 * around)
        elevation = np.radians(ORBIT_ELEVATION[0] + ORBIT_ELEVATION[1] * np.sin(2 * around))
        eye = ORBIT_TARGET + distance * outward(self._start + around, elevation) + SHAKEN[0] * shake[:3]
        return look_at(eye, ORBIT_TARGET + distance * SHAKEN[1] * shake[3:6], roll=float(SHAKEN[1] * shake[6]))


def _standing() -> Float[np.ndarray, "4 4"]:
    distance, azimuth, elevation = FILM_PLACE
    return look_at(FILM_CENTER + distance * outward(np.radians(azimuth), np.radians(elevation)), FILM_CENTER)


def _still_hand(subject: Subject, options: PhoneOptions) -> MotionSequence:
    """A hand that rests on the side of its little finger, all its sides but one in sight."""
    lying = Rotation.concatenate([UPRIGHT.inv()])
    motion = {options.hand: right_motion(gestures.RELAXED[None], lying, np.zeros((1, 3))).on_side(options.hand)}
    frames = np.arange(1)
    free = pose_sequence(ORBIT, frames, motion, subject, np.zeros(3))
    return pose_sequence(ORBIT, frames, motion, subject, np.array([0.0, 0.0, -np.nanmin(free.vertices[..., 2])]))


def _moving_hand(subject: Subject, options: PhoneOptions) -> MotionSequence:
    rng = np.random.default_rng([options.seed, 23])
    motion = perform(options.motion, Person.draw(rng), rng, np.arange(options.frames) / options.fps)
    near = replace(motion, middle=CALM * (motion.middle - motion.middle.mean(0))).on_side(options.hand)
    return pose_sequence(FILM, np.arange(options.frames), {options.hand: near}, subject, FILM_CENTER)


def _orbit(
    subject: Subject, still: MotionSequence, phone: Phone, path: CarriedPhone, options: PhoneOptions
) -> Iterator[Float[np.ndarray, "h w 3"]]:
    """Pictures of the camera without distortion, means of moments while the shutter is open."""
    board = replace(Board(), square=options.square / 1000)
    table = table_with_board(
        board, np.random.default_rng([options.seed, 25]), texel=TEXEL * max(FINE_AT / options.resolution, 1.0)
    )
    surfaces = posed_surfaces(subject, still, 0)
    room = studio(ORBIT_TARGET, np.random.default_rng([options.seed, 2]))
    scene = light_scene([*surfaces, (table, table.points.position)], room, QUICK)
    shader = vertex_shader(scene)
    for time in path.times:
        places = [path.at(time + options.shutter * moment) for moment in MOMENTS]
        yield _mean([(scene, shader, phone.pinhole(at, part)) for at, part in zip(places, QUARTERS, strict=True)])


def _film(
    subject: Subject,
    moving: MotionSequence,
    phone: Phone,
    world_to_camera: Float[np.ndarray, "4 4"],
    options: PhoneOptions,
) -> Iterator[Float[np.ndarray, "h w 3"]]:
    """Pictures of the camera without distortion, means of moments while the shutter is open."""
    room = studio(FILM_CENTER, np.random.default_rng([options.seed, 26]))
    for t in range(options.frames):
        lit = light_scene(posed_surfaces(subject, moving, t), room, QUICK)
        views = []
        for moment, part in zip(MOMENTS, QUARTERS, strict=True):
            offset = min(options.shutter * options.fps, 1.0) * moment
            scene = at_other_places(lit, posed_surfaces(subject, moved(moving, t, offset), 0))
            views.append((scene, vertex_shader(scene), phone.pinhole(world_to_camera, part)))
        yield _mean(views)


def _mean(views: Sequence[tuple[Scene, Shader, RigCamera]]) -> Float[np.ndarray, "h w 3"]:
    """Values of a picture whose light is the mean of these, a sample a pixel each."""
    light = np.mean([render_camera(*view, supersampling=1).color ** GAMMA for view in views], axis=0)
    return light ** (1 / GAMMA)
