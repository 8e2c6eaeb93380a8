"""Fits of captures that come with 3D joints, and with MANO annotations that are partly wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_hands import mano_arrays, write_mano_file
from helpers.made_up_track import gesture, random_poses

from nerfstudio_hands.captures.capture import Capture, CaptureCamera, ManoAnnotations
from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, cache_path, capture_joints, fit_or_load
from nerfstudio_hands.fitting.joints.joint_track import fit_joint_track
from nerfstudio_hands.fitting.joints.keypoint_chain import ChainPose, KeypointChain
from nerfstudio_hands.fitting.joints.mano_annotations import annotated_poses
from nerfstudio_hands.hand_model import FINGERS, SIDES, HandPose, HandSurface, default_hand, load_hand
from nerfstudio_hands.hand_model.joint_limits import joint_axes, rotations_to_angles
from nerfstudio_hands.hand_model.joints import MANO_FINGERS, TIP_JOINTS
from nerfstudio_hands.transforms.rotations import rotation_matrix

SHAPE = torch.tensor([1.0, -0.8, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
FRAMES = 30


@pytest.fixture
def fits(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "fits"))
    return tmp_path / "fits"


@pytest.fixture(scope="module")
def mano(tmp_path_factory) -> Path:
    """A folder of MANO files whose pose directions move the fingertips by some millimetres."""
    folder = tmp_path_factory.mktemp("mano")
    for side in SIDES:
        arrays = mano_arrays(side)
        write_mano_file(folder / f"MANO_{side.upper()}.pkl", {**arrays, "posedirs": 0.3 * arrays["posedirs"]})
    return folder


def capture_of(joints: torch.Tensor, **fields) -> Capture:
    """A capture without a single picture; joints [T, 2, 21, 3]."""
    camera = CaptureCamera("400002", np.diag([500.0, 500.0, 1.0]), np.eye(4), 334, 512)
    frames = [f"ROM01/{frame}" for frame in range(len(joints))]
    keypoints = joints.double().numpy()
    return Capture(Path("capture"), [camera], frames, {}, {}, None, [], stored_keypoints=keypoints, **fields)


def default_surface() -> HandSurface:
    return HandSurface(tuple(default_hand(side) for side in SIDES))


def test_joints_become_a_fit_that_is_kept(fits: Path, monkeypatch):
    surface = default_surface()
    posed = surface.pose(random_poses(surface, FRAMES, seed=21), SHAPE)
    joints = posed.keypoints.clone()
    joints[4, 0] = torch.nan
    joints[7, 1, 6:] += 0.1 * torch.randn(15, 3, generator=torch.Generator().manual_seed(0))
    capture = capture_of(joints)
    fit = fit_or_load(capture, FitOptions())
    assert fit.sides == SIDES and fit.frames == capture.frames
    assert fit.displacement.shape == (surface.num_vertices, 3) and not fit.displacement.any()
    assert fit.pose.valid.sum() == 2 * FRAMES - 1 and not fit.pose.valid[4, 0]
    found = surface.pose(fit.pose, fit.shape).keypoints
    good = fit.pose.valid.clone()
    good[7, 1] = False
    assert (found - posed.keypoints)[good].norm(dim=-1).mean() < 2e-3
    assert [entry[:2] for entry in fit.report["outlier_frames"]] == [["ROM01/7", "right"]]
    assert fit.report["joint_error_mm"]["median"] < 1.0
    assert fit.report["hands"] == 2 * FRAMES - 1
    assert [path.name for path in fits.iterdir()] == [cache_path_name(capture)]

    monkeypatch.setattr("nerfstudio_hands.fitting.cache.fit_capture_joints", lambda *a, **k: pytest.fail("fitted"))
    again = fit_or_load(capture, FitOptions())
    torch.testing.assert_close(again.pose.local_rotations, fit.pose.local_rotations)
    np.testing.assert_array_equal(again.keypoints_3d, capture.stored_keypoints)


def cache_path_name(capture: Capture, **options) -> str:
    return cache_path(capture, FitOptions(**options)).name


def test_the_key_follows_joints_annotations_and_options(fits: Path):
    capture = capture_of(torch.rand(2, 2, 21, 3))
    annotations = ManoAnnotations(np.zeros((2, 2, 48)), np.zeros((2, 2, 10)), np.zeros((2, 2, 3)))
    names = {
        cache_path_name(capture),
        cache_path_name(replace(capture, stored_keypoints=capture.stored_keypoints + 1)),
        cache_path_name(replace(capture, mano_annotations=annotations)),
        cache_path_name(capture, shape_frames=[1]),
        cache_path_name(capture, sides=["left"]),
        cache_path_name(capture, start=NetworkStart()),
    }
    assert len(names) == 6
    assert cache_path_name(capture) in names
    # Neither takes part where there is no picture.
    assert cache_path_name(capture, cameras=["400002"], refine_cameras=False) == cache_path_name(capture)


def test_a_side_without_joints_is_left_out(fits: Path):
    surface = default_surface()
    joints = surface.pose(gesture(surface, "two"), SHAPE).keypoints
    joints[:, 0, 5:] = torch.nan
    assert fit_or_load(capture_of(joints), FitOptions()).sides == ("right",)
    with pytest.raises(HandsError, match="expected 3D joints of the left hand in at least one of 4 .* 5 of 21"):
        fit_or_load(capture_of(joints), FitOptions(sides=("left",)))


def test_a_side_that_only_held_out_frames_show_is_left_out(fits: Path):
    surface = default_surface()
    joints = surface.pose(gesture(surface, "two"), SHAPE).keypoints
    joints[:2, 0] = torch.nan
    capture = capture_of(joints)
    assert fit_or_load(capture, FitOptions()).sides == SIDES
    assert fit_or_load(capture, FitOptions(shape_frames=[0, 1])).sides == ("right",)


def test_an_interrupted_capture_goes_on_and_leaves_nothing_behind(fits: Path, monkeypatch):
    surface = default_surface()
    capture = capture_of(surface.pose(random_poses(surface, 6, seed=22), SHAPE).keypoints)
    shares = []
    whole_fit = capture_joints.fit_joint_track

    def in_fours(*args, progress, **options):
        def noted(stage: str, share: float) -> None:
            shares.append(share)
            if interrupting and share > 0:
                raise KeyboardInterrupt

        return whole_fit(*args, progress=noted, batch=4, **options)

    monkeypatch.setattr(capture_joints, "fit_joint_track", in_fours)
    interrupting = True
    with pytest.raises(KeyboardInterrupt):
        fit_or_load(capture, FitOptions())
    (partial,) = fits.iterdir()
    assert partial.name.endswith(".partial.npz")
    assert len(np.load(partial)["error"]) == 4
    interrupting, shares[:] = False, []
    fit = fit_or_load(capture, FitOptions())
    # The second run starts at the second of three batches.
    assert shares == pytest.approx([4 / 12, 8 / 12, 1.0])
    assert fit.pose.valid.all()
    assert [path.name for path in fits.iterdir()] == [cache_path_name(capture)]


def annotate(surface: HandSurface, pose: HandPose, shapes: torch.Tensor) -> ManoAnnotations:
    """Poses [T, 2] in MANO's terms, each frame with its own shape [T, 10]."""
    local = torch.stack([pose.local_rotations[:, h] - hand.hands_mean for h, hand in enumerate(surface.hands)], 1)
    return ManoAnnotations(
        torch.cat([pose.global_orient, local.flatten(2)], -1).double().numpy(),
        shapes[:, None].expand(-1, 2, -1).double().numpy().copy(),
        pose.translation.double().numpy().copy(),
    )


def test_annotations_are_taken_where_they_agree_with_the_joints(mano: Path, fits: Path):
    surface = HandSurface(tuple(load_hand(mano, side) for side in SIDES))
    generator = torch.Generator().manual_seed(4)
    pose = random_poses(surface, FRAMES, seed=23)
    shapes = SHAPE + 0.3 * torch.randn(FRAMES, 10, generator=generator)
    keypoints = torch.cat([surface.pose(pose[[t]], shapes[t]).keypoints for t in range(FRAMES)])
    noise = 0.003 * torch.randn(keypoints.shape, generator=generator)
    # Every annotator puts the wrist where the model has none.
    noise[:, :, 0] += 0.004
    annotations = annotate(surface, pose, shapes)
    annotations.pose[3, 1] = np.nan
    annotations.pose[5, 0, 5:20] += 0.8
    annotations.trans[6, 1, 2] += 0.042
    for values in vars(annotations).values():
        values[8, 1] = values[8, 0]
    capture = capture_of(keypoints + noise, mano_annotations=annotations)
    fit = fit_or_load(capture, FitOptions(hand=mano))

    report = fit.report["mano_annotations"]
    assert report["used"] == 2 * FRAMES - 4
    assert report["refitted_without_annotation"] == 1
    assert {tuple(row[:2]) for row in report["refitted_outliers"]} == {("ROM01/5", "left"), ("ROM01/6", "right")}
    assert [row[:2] for row in report["refitted_wrong_side"]] == [["ROM01/8", "right"]]
    taken = torch.ones(FRAMES, 2, dtype=torch.bool)
    taken[[3, 5, 6, 8], [1, 0, 1, 1]] = False
    torch.testing.assert_close(fit.pose.local_rotations[taken], pose.local_rotations[taken], atol=1e-5, rtol=0)
    torch.testing.assert_close(fit.shape, shapes[:, None].expand(-1, 2, -1)[taken].mean(0))
    found = surface.pose(fit.pose, fit.shape).keypoints
    # Up to 2.97 mm: each frame was made with a shape of its own, and the fit has their mean.
    assert (found - keypoints).norm(dim=-1).mean(-1)[taken].max() < 4e-3
    assert (found - keypoints).norm(dim=-1).mean(-1)[~taken].max() < 6e-3


def test_annotations_say_shape_and_landmarks_in_the_frames_that_may_be_learnt_from(mano: Path):
    surface = HandSurface(tuple(load_hand(mano, side) for side in SIDES))
    pose = random_poses(surface, 12, seed=25)
    shapes = SHAPE + 0.3 * torch.randn(12, 10, generator=torch.Generator().manual_seed(5))
    keypoints = torch.cat([surface.pose(pose[[t]], shapes[t]).keypoints for t in range(12)])
    # The wrist is put elsewhere in the frames that are held out, which are the most.
    keypoints[:4, :, 0] += surface.pose(pose[:4], SHAPE).bone_transforms[:, :, 0, :3, 2] * 0.003
    keypoints[4:, :, 0] -= surface.pose(pose[4:], SHAPE).bone_transforms[:, :, 0, :3, 1] * 0.009
    found = annotated_poses(
        surface, annotate(surface, pose, shapes), keypoints.double().numpy(), shape_frames=[0, 1, 2, 3]
    )
    torch.testing.assert_close(found.shape, shapes[:4].double().mean(0), atol=1e-6, rtol=0)
    assert found.landmark_offset[1:].norm(dim=-1).max() < 1e-4
    np.testing.assert_allclose(found.landmark_offset[0], [0.0, 0.0, 0.003], atol=1e-5)
    assert found.pose.valid.all()


def test_other_hand_models_do_not_take_mano_parameters(fits: Path):
    surface = default_surface()
    pose = gesture(surface, "one")
    annotations = annotate(surface, pose, SHAPE.expand(4, 10))
    annotations.pose[:] += 1.0
    capture = capture_of(surface.pose(pose, SHAPE).keypoints, mano_annotations=annotations)
    fit = fit_or_load(capture, FitOptions())
    assert "mano_annotations" not in fit.report
    assert fit.report["joint_error_mm"]["mean"] < 1.0


def test_tips_that_move_against_their_bones_are_followed(mano: Path):
    surface = HandSurface((load_hand(mano, "right"),))
    pose = random_poses(surface, 12, seed=24)
    posed = surface.pose(pose, SHAPE)
    chain = KeypointChain(surface)
    assert not chain.is_rigid and KeypointChain(default_surface()).is_rigid

    axes, angles = joint_axes(surface.hands[0]), torch.zeros(12, 5, 3, 3, dtype=torch.float64)
    for finger, name in enumerate(FINGERS):
        first = 3 * MANO_FINGERS.index(name)
        angles[:, finger] = rotations_to_angles(axes, pose.local_rotations[:, 0])[:, first : first + 3].double()
    same = ChainPose(
        torch.zeros(12, dtype=torch.long),
        rotation_matrix(pose.global_orient[:, 0].double()),
        pose.translation[:, 0].double(),
        angles,
    )
    rest = chain.rest_of(same.hand, SHAPE.double())
    rigid = chain.pose(same, rest)
    followed = chain.pose(same, rest, chain.tip_shift(same, SHAPE.double(), rigid)).landmarks
    tips = list(TIP_JOINTS)
    assert (rigid.landmarks - posed.keypoints[:, 0])[:, tips].norm(dim=-1).mean() > 5e-4
    torch.testing.assert_close(followed.float(), posed.keypoints[:, 0], atol=1e-5, rtol=0)

    found = surface.pose(fit_joint_track(surface, posed.keypoints, shape=SHAPE).pose, SHAPE).keypoints
    assert (found - posed.keypoints).norm(dim=-1).mean(-1).max() < 1e-3


def test_mano_files_of_the_other_side_are_refused(mano: Path, fits: Path, tmp_path: Path):
    surface = default_surface()
    capture = capture_of(surface.pose(gesture(surface, "one"), SHAPE).keypoints)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "MANO_RIGHT.pkl").write_bytes((mano / "MANO_RIGHT.pkl").read_bytes())
    (folder / "MANO_LEFT.pkl").write_bytes((mano / "MANO_RIGHT.pkl").read_bytes())
    with pytest.raises(HandsError, match="MANO_LEFT.pkl: expected MANO's left hand, found the other one"):
        fit_or_load(capture, FitOptions(hand=folder))
