"""Which pose a ray sees while frames and tracks play."""

from __future__ import annotations

import pytest
import torch
from helpers.made_up_avatar import made_up_avatar
from helpers.pose_tracks import made_up_track
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.cameras.rays import RayBundle

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.motion.pose_track import PoseTrack


def bent(*angles: float) -> HandPose:
    """Right hands with a bent index finger, radians, a pose each."""
    pose = HandPose.rest(1, (len(angles),))
    pose.local_rotations[:, 0, 0, 2] = torch.tensor(angles)
    return pose


@pytest.fixture
def hands() -> PosedHands:
    """A right hand in four frames, the second of which is held out."""
    surface = HandSurface([default_hand("right")])
    pose = bent(0.1, 1.3, 0.3, 0.5)
    trained = torch.tensor([True, False, True, True])
    avatar = made_up_avatar(surface, pose, frame_names=list("abcd"), camera_names=["00"], train_frames=trained)
    return PosedHands(avatar, refine=True, casts_light=False).eval()


@pytest.fixture
def track() -> PoseTrack:
    return PoseTrack(("right",), bent(0.0, 0.8), torch.tensor([0.0, 2.0]), "curl")


def rays(time: float | None = None, frame: int | None = None) -> RayBundle:
    return RayBundle(
        origins=torch.zeros(4, 3),
        directions=torch.ones(4, 3),
        pixel_area=torch.ones(4, 1),
        times=None if time is None else torch.full((4, 1), time),
        metadata={} if frame is None else {"frame_index": torch.full((4, 1), frame)},
    )


def angle(hands: PosedHands, bundle: RayBundle) -> float:
    """Bend of the index finger of the surface that the rays see, by comparison with surfaces of known bend."""
    found = hands.for_rays(bundle)
    seen = found.surfaces.vertices[found.ray_surface[0]]
    angles = torch.linspace(0, 1.6, 161)
    known = hands.vertices(bent(*angles.tolist()))
    apart = (known - seen).norm(dim=-1).amax(dim=-1)
    assert apart.min() < 1e-3
    return float(angles[apart.argmin()])


@torch.no_grad()
def test_training_frames_play_from_0_to_1(hands: PosedHands) -> None:
    for time, expected in ((0.0, 0.1), (0.25, 0.2), (0.5, 0.3), (0.75, 0.4), (1.0, 0.5), (1.7, 0.5)):
        assert angle(hands, rays(time)) == pytest.approx(expected)
    hands.deltas[1][2, 0, 0, 2] += 0.1
    # A refinement that goes on is seen although the time is the same.
    hands.train().for_rays(rays(frame=0))
    assert angle(hands.eval(), rays(0.5)) == pytest.approx(0.4)
    assert angle(hands, rays(0.75)) == pytest.approx(0.45)


@torch.no_grad()
def test_order_of_poses(hands: PosedHands, track: PoseTrack) -> None:
    assert angle(hands, rays()) == pytest.approx(0.1)
    hands.set_track(track)
    assert angle(hands, rays(0.75)) == pytest.approx(0.6)
    assert angle(hands, rays()) == pytest.approx(0.1)
    hands.set_free_pose(bent(1.1))
    assert angle(hands, rays(0.75)) == pytest.approx(1.1)
    assert angle(hands, rays(0.75, frame=1)) == pytest.approx(1.3)
    hands.set_override(bent(1.5))
    assert angle(hands, rays(0.75, frame=1)) == pytest.approx(1.5)
    hands.train()
    assert angle(hands, rays(0.75, frame=1)) == pytest.approx(1.3)
    assert angle(hands, rays(0.75)) == pytest.approx(0.4)
    hands.eval().set_override(None)
    hands.set_free_pose(None)
    hands.set_track(None)
    assert angle(hands, rays(0.75)) == pytest.approx(0.4)


@torch.no_grad()
def test_another_track_is_seen_at_the_same_time(hands: PosedHands, track: PoseTrack) -> None:
    hands.set_track(track)
    assert angle(hands, rays(0.5)) == pytest.approx(0.4)
    hands.set_track(PoseTrack(("right",), bent(1.0, 1.2), torch.tensor([0.0, 9.0])))
    assert angle(hands, rays(0.5)) == pytest.approx(1.1)


@torch.no_grad()
def test_a_track_of_both_hands_plays_on_one_and_a_foreign_one_is_refused(hands: PosedHands) -> None:
    both = made_up_track()
    hands.set_track(both)
    torch.testing.assert_close(hands.pose_at(torch.tensor([0.0])).translation[0, 0], both.pose.translation[0, 1])
    with pytest.raises(HandsError, match="expected poses of the right hand"):
        hands.set_track(made_up_track(sides=("left",)))


@torch.no_grad()
def test_an_absent_hand_shows_its_neighbour(hands: PosedHands) -> None:
    hands.valid[0, 0] = False
    hands.local_rotations[0] = torch.nan
    assert angle(hands, rays(0.25)) == pytest.approx(0.3)
    assert not hands.pose_at(torch.tensor([0.0])).valid.any()
    torch.testing.assert_close(hands.reference().local_rotations, bent(0.3)[0].local_rotations)


@torch.no_grad()
def test_a_camera_path_plays_along_render_time(hands: PosedHands, track: PoseTrack) -> None:
    """As `ns-render camera-path` does it: the file's `render_time` becomes the camera's and then the rays' time."""
    keyframe = {"camera_to_world": torch.eye(4).flatten().tolist(), "fov": 30.0, "aspect": 1.0}
    path = {
        "render_height": 4,
        "render_width": 4,
        "camera_path": [keyframe | {"render_time": 0.25}, keyframe | {"render_time": 1.0}],
    }
    cameras = get_path_from_json(path)
    hands.set_track(track)
    angles = [angle(hands, cameras.generate_rays(camera_indices=row).flatten()) for row in (0, 1)]
    assert angles == pytest.approx([0.2, 0.8])
    for entry in path["camera_path"]:
        del entry["render_time"]
    assert angle(hands, get_path_from_json(path).generate_rays(camera_indices=1).flatten()) == pytest.approx(0.1)
