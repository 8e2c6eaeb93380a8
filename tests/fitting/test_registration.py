"""Moving hands whose joints are known, registered to pictures without masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.made_up_rig import BACKGROUND, SIZE, SKIN, fill, pixels_of, ring_of_cameras

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.fitting import FitOptions, HandFit, fit_key, fit_or_load
from nerfstudio_hands.fitting.silhouettes import mask_refinement
from nerfstudio_hands.fitting.silhouettes.mask_refinement import Rounds, few_images
from nerfstudio_hands.fitting.silhouettes.partial_registration import PartialRegistration
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import bend_fingers

FRAMES, TRAIN, HELD_OUT = ("a", "b", "c"), ["00", "01", "02", "03"], "04"
SMALL = (SIZE[0] // 2, SIZE[1] // 2)
THICKER = 0.0015
"""Meters that the skin lies outside of the template's, which no shape says."""


@dataclass
class Moving:
    """A right hand in three frames, the last of which is held out, before five cameras, one of them held out."""

    capture: Capture
    surface: HandSurface
    vertices: torch.Tensor

    @property
    def options(self) -> FitOptions:
        return FitOptions(TRAIN, sides=("right",), shape_frames=[0, 1], refine_cameras=False)

    def errors(self, fit: HandFit) -> torch.Tensor:
        """Distances of the fitted vertices of the hand from the true skin, millimeters [T, V]."""
        found = self.surface.pose(fit.pose, fit.shape, fit.displacement).vertices[:, self.surface.vertex_is_hand]
        near = [
            Surfaces(self.surface.faces, true[None]).closest(points, max_distance=0.05).signed_distance.abs()
            for true, points in zip(self.vertices, found, strict=True)
        ]
        return 1000 * torch.stack(near)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Moving:
    """Seen in pictures that are cut out quickly."""
    return moving_hand(tmp_path_factory.mktemp("moving"), SMALL)


def moving_hand(root: Path, size: tuple[int, int]) -> Moving:
    """Draws it in pictures of a size, width and height."""
    surface = HandSurface((default_hand("right"),))
    flexion = torch.tensor([[0.3, 0.2, 0.3, 0.2, 0.3], [0.2, 0.4, 0.2, 0.5, 0.2], [0.4, 0.1, 0.5, 0.3, 0.4]])
    pose = HandPose(
        global_orient=torch.tensor([[[-0.3, -0.6, 0.5]], [[-0.2, -0.5, 0.4]], [[-0.3, -0.4, 0.5]]]),
        local_rotations=bend_fingers(surface.hands[0], flexion, torch.full((3, 5), 0.05))[:, None],
        translation=torch.tensor([[[0.02, 0.02, 0.0]], [[0.0, 0.02, 0.01]], [[0.01, 0.0, 0.0]]]),
        valid=torch.ones(3, 1, dtype=torch.bool),
    )
    rest = surface.pose(HandPose.rest(1, (1,)), torch.zeros(10)).vertices
    offset = THICKER * vertex_normals(rest, surface.faces)[0]
    posed = surface.pose(pose, torch.zeros(10), offset)
    names = [*TRAIN, HELD_OUT]
    intrinsics, extrinsics = ring_of_cameras(len(names), size=size)
    cameras = [
        CaptureCamera(name, k.numpy(), e.numpy(), *size)
        for name, k, e in zip(names, intrinsics, extrinsics, strict=True)
    ]
    images = {(frame, name): root / f"{frame}{name}.png" for frame in FRAMES for name in names}
    for t, frame in enumerate(FRAMES):
        for c, name in enumerate(names):
            pixels = pixels_of(posed.vertices[t], intrinsics[[c]], extrinsics[[c]])[0].numpy()
            mask = fill(pixels, surface.faces.numpy(), size)
            noise = np.random.default_rng(10 * t + c).normal(0, 6, (*mask.shape, 3))
            picture = np.clip(np.where(mask[..., None], SKIN, BACKGROUND) + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(images[frame, name]), picture[..., ::-1])
    joints = np.full((3, 2, 21, 3), np.nan)
    # A detector puts landmarks some millimeters beside the heads of bones.
    joints[:, 1] = posed.keypoints[:, 0].numpy() + np.random.default_rng(1).normal(0, 0.002, (21, 3))
    capture = Capture(root, cameras, list(FRAMES), images, {}, None, [], stored_keypoints=joints)
    return Moving(capture, surface, posed.vertices)


@pytest.fixture(scope="module")
def quick_fits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quick-fits")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, quick_fits: Path) -> None:
    """Fits that end early; the same fit is made once, and kept apart from others."""
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(quick_fits))
    for name in ("ROUNDS", "LATER_ROUNDS"):
        rounds = getattr(mask_refinement, name)
        monkeypatch.setattr(mask_refinement, name, Rounds((), rounds.shaping[:1], rounds.finishing[:1]))


def fit(moving: Moving, capture: Capture | None = None, **options: object) -> HandFit:
    return fit_or_load(capture or moving.capture, replace(moving.options, **options))  # pyright: ignore[reportArgumentType]


def test_images_bring_the_skin_to_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "fits"))
    moving = moving_hand(tmp_path, SIZE)
    before, after = moving.errors(fit(moving, refine_masks=False)), moving.errors(fit(moving))
    assert before.mean() > 1.2
    assert after.mean() < 0.6
    assert after[2].mean() < 0.5 * before[2].mean()


def same(first: HandFit, second: HandFit) -> bool:
    return all(
        torch.equal(one, other)
        for one, other in (
            (first.shape, second.shape),
            (first.displacement, second.displacement),
            (first.pose.local_rotations[:2], second.pose.local_rotations[:2]),
            (first.pose.translation[:2], second.pose.translation[:2]),
        )
    )


@pytest.mark.usefixtures("quick")
def test_what_is_held_out_moves_nothing_that_trains(moving: Moving, tmp_path: Path):
    """Other pictures in the held-out camera, and of the held-out frame, where the hand seems to be larger."""
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), np.full((SMALL[1], SMALL[0], 3), SKIN[::-1], np.uint8))
    images = moving.capture.images
    spoilt = {key: other if key[1] == HELD_OUT or key[0] == "c" else path for key, path in images.items()}
    here, there = fit(moving), fit(moving, replace(moving.capture, images=spoilt))
    assert same(here, there)
    assert not torch.equal(here.pose.local_rotations[2], there.pose.local_rotations[2])
    trained = {**images, ("a", "01"): other}
    assert not same(here, fit(moving, replace(moving.capture, images=trained)))


@pytest.mark.usefixtures("quick")
def test_poses_of_held_out_frames_may_come_from_joints_alone(moving: Moving):
    by_images, by_joints = fit(moving), fit(moving, register_held_out=False)
    assert same(by_images, by_joints)
    assert not torch.equal(by_images.pose.local_rotations[2], by_joints.pose.local_rotations[2])
    assert by_joints.pose.valid.all() and moving.errors(by_joints)[2].mean() < 3


@pytest.mark.usefixtures("quick")
def test_a_broken_image_is_passed_over_and_changes_the_key(moving: Moving, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    capture = replace(moving.capture, images={**moving.capture.images, ("b", "02"): broken})
    assert fit_key(capture, moving.options) != fit_key(moving.capture, moving.options)
    assert moving.errors(fit(moving, capture)).mean() < 1.2


@pytest.mark.usefixtures("quick")
def test_a_frame_without_a_image_that_shows_the_hand_keeps_the_pose_of_its_joints(moving: Moving, tmp_path: Path):
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((SMALL[1], SMALL[0], 3), np.uint8))
    images = {key: black if key[0] == "b" else path for key, path in moving.capture.images.items()}
    alone, kept = fit(moving, refine_masks=False), fit(moving, replace(moving.capture, images=images))
    torch.testing.assert_close(kept.pose.local_rotations[1], alone.pose.local_rotations[1])
    assert not torch.equal(kept.pose.local_rotations[0], alone.pose.local_rotations[0])


@pytest.mark.usefixtures("quick")
def test_a_hand_that_the_images_lead_astray_stays_where_its_joints_are(moving: Moving, monkeypatch, tmp_path: Path):
    """The pictures of the second frame show the first one's hand, moved by centimeters."""
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path))
    monkeypatch.setattr(mask_refinement, "FARTHEST_FROM_JOINTS", -1.0)
    alone, kept = fit(moving, refine_masks=False), fit(moving)
    torch.testing.assert_close(alone.pose.local_rotations, kept.pose.local_rotations)
    assert not torch.equal(alone.shape, kept.shape)


@pytest.mark.usefixtures("quick")
def test_an_interrupted_registration_goes_on_to_the_same_hands(moving: Moving, monkeypatch, tmp_path: Path):
    whole = fit(moving, shape_frames=[0])
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "again"))
    refine, calls = mask_refinement._refine_frames, []

    def interrupted(*args, **options):
        calls.append(args[0].frames)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return refine(*args, **options)

    monkeypatch.setattr(mask_refinement, "_refine_frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(moving, shape_frames=[0])
    assert [path.suffixes for path in sorted((tmp_path / "again").iterdir())] == [[".partial", ".pictures", ".npz"]]
    again = fit(moving, shape_frames=[0])
    assert calls == [["a"], ["b", "c"], ["b", "c"]]
    torch.testing.assert_close(again.pose.local_rotations, whole.pose.local_rotations, rtol=0, atol=0)
    assert [path.suffixes for path in (tmp_path / "again").iterdir()] == [[".npz"]]


def test_a_file_of_another_registration_is_passed_over(tmp_path: Path):
    def variables(frames: int) -> Variables:
        zeros = torch.zeros(frames, 1, 3)
        valid = torch.ones(frames, 1, dtype=torch.bool)
        shared = torch.zeros(10), torch.zeros(7, 3), torch.zeros(2, 3), torch.zeros(2), torch.zeros(21, 3)
        return Variables(zeros, torch.zeros(frames, 1, 15, 3), zeros, *shared, valid)

    path = tmp_path / "x.partial.pictures.npz"
    with pytest.raises(KeyboardInterrupt), PartialRegistration(path, variables(4)) as kept:
        kept.put([1, 3], replace(variables(2), translation=torch.ones(2, 1, 3)))
        raise KeyboardInterrupt
    again = PartialRegistration(path, variables(4))
    assert again.done.tolist() == [False, True, False, True]
    assert again.variables.translation[:, 0, 0].tolist() == [0, 1, 0, 1]
    assert not PartialRegistration(path, variables(5)).done.any()
    path.write_bytes(path.read_bytes()[:100])
    assert not PartialRegistration(path, variables(4)).done.any()


def test_of_many_cameras_some_are_taken_in_each_frame(moving: Moving):
    many = replace(moving.capture, images={(f, f"{c:02d}"): Path() for f in FRAMES for c in range(5)})
    few = few_images(many, 3)
    of_frame = [{name for frame, name in few.images if frame == wanted} for wanted in FRAMES]
    assert [len(names) for names in of_frame] == [3, 3, 3]
    assert set.union(*of_frame) > of_frame[0]
    assert few_images(many, 5) is many
