"""Skinning against smplx's own MANO class, against analytic rotations, and under mirroring."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.made_up_hands import mano_arrays, small_random_hand, write_mano_file
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand, load_hand, mirror_hand, mirror_rotations, pose_hand
from nerfstudio_hands.hand_model.joints import JOINT_NAMES, MANO_JOINT_NAMES, MANO_PARENTS, MANO_TO_JOINTS
from nerfstudio_hands.hand_model.mano_file import relative_to_flat
from nerfstudio_hands.hand_model.model import shaped_template

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def random_pose(batch: int, num_shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(batch)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return normal(batch, 3), 0.5 * normal(batch, 15, 3), 0.3 * normal(batch, 3), normal(batch, num_shape)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("flat_hand_mean", [True, False])
def test_agrees_with_smplx(side: str, flat_hand_mean: bool, tmp_path) -> None:
    from smplx import MANO
    from smplx.utils import Struct

    arrays = mano_arrays(side)
    path = tmp_path / f"MANO_{side.upper()}.pkl"
    write_mano_file(path, arrays)
    hand = load_hand(path, side)
    reference = MANO(
        model_path="",
        data_struct=Struct(**arrays),
        is_rhand=side == "right",
        use_pca=False,
        flat_hand_mean=flat_hand_mean,
        batch_size=3,
    )
    orient, local, translation, shape = random_pose(3, 10, torch.float32)
    expected = reference(betas=shape, global_orient=orient, hand_pose=local.reshape(3, 45), transl=translation)
    posed = pose_hand(hand, orient, local if flat_hand_mean else relative_to_flat(hand, local), translation, shape)
    torch.testing.assert_close(posed.vertices, expected.vertices, atol=2e-6, rtol=0)
    joints = posed.keypoints[:, list(MANO_TO_JOINTS)]
    torch.testing.assert_close(joints, expected.joints[:, :16], atol=2e-6, rtol=0)


def test_zero_pose_is_the_template() -> None:
    hand = default_hand("right").to(dtype=torch.float64)
    zero = torch.zeros(1, 48, dtype=torch.float64)
    posed = pose_hand(hand, zero[:, :3], zero[:, 3:].reshape(1, 15, 3), zero[:, :3], zero[0, :10])
    torch.testing.assert_close(posed.vertices[0], hand.template, atol=1e-7, rtol=0)


def test_global_orientation_turns_about_the_root_joint() -> None:
    hand = small_random_hand()
    _, local, translation, shape = random_pose(2, 4)
    turn = torch.tensor([0.3, -1.1, 0.8], dtype=torch.float64)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    still = pose_hand(hand, zero, local, zero, shape)
    turned = pose_hand(hand, turn.expand(2, 3), local, translation, shape)
    rotation = torch.from_numpy(Rotation.from_rotvec(turn.numpy()).as_matrix())
    root = still.keypoints[:, :1]
    for name in ("vertices", "keypoints"):
        expected = (getattr(still, name) - root) @ rotation.T + root + translation[:, None]
        torch.testing.assert_close(getattr(turned, name), expected, atol=1e-6, rtol=0)


def test_one_joint_turns_its_finger_rigidly_and_nothing_else() -> None:
    hand = default_hand("right").to(dtype=torch.float64)
    joint = MANO_JOINT_NAMES.index("ring_1")
    local = torch.zeros(1, 15, 3, dtype=torch.float64)
    local[0, joint - 1, 2] = math.pi / 2
    zero = torch.zeros(1, 3, dtype=torch.float64)
    posed = pose_hand(hand, zero, local, zero, torch.zeros(10, dtype=torch.float64)).vertices[0]
    pivot = hand.joint_regressor[joint] @ hand.template
    # A quarter turn about z takes x to y and y to -x.
    arm = hand.template - pivot
    quarter = torch.stack([-arm[:, 1], arm[:, 0], arm[:, 2]], dim=1) + pivot
    moves = hand.weights[:, joint : joint + 3].sum(dim=1)
    assert (moves > 0.999).sum() > 50
    torch.testing.assert_close(posed[moves > 0.999], quarter[moves > 0.999], atol=2e-4, rtol=0)
    torch.testing.assert_close(posed[moves == 0], hand.template[moves == 0], atol=1e-8, rtol=0)


def test_against_a_loop_over_bones() -> None:
    """The textbook formula with scipy's rotations, one vertex and one bone at a time."""
    hand = small_random_hand()
    orient, local, translation, shape = random_pose(1, 4)
    displacement = 0.01 * torch.randn(hand.num_vertices, 3, dtype=torch.float64)
    posed = pose_hand(hand, orient, local, translation, shape, displacement)

    shaped = hand.template.numpy() + hand.shape_dirs.numpy() @ shape[0].numpy()
    joints = hand.joint_regressor.numpy() @ shaped
    rotations = Rotation.from_rotvec(torch.cat([orient, local[0]]).numpy()).as_matrix()
    feature = (rotations[1:] - np.eye(3)).ravel()
    rest = shaped + displacement.numpy() + hand.pose_dirs.numpy() @ feature
    transforms = []
    for j, parent in enumerate(MANO_PARENTS):
        about_joint = np.eye(4)
        about_joint[:3, :3] = rotations[j]
        about_joint[:3, 3] = joints[j] - rotations[j] @ joints[j]
        transforms.append(about_joint if parent < 0 else transforms[parent] @ about_joint)
    expected = np.zeros_like(rest)
    for v in range(hand.num_vertices):
        for j in range(16):
            moved = transforms[j] @ np.append(rest[v], 1.0)
            expected[v] += hand.weights[v, j].item() * (moved[:3] + translation[0].numpy())
    np.testing.assert_allclose(posed.vertices[0].numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(posed.bone_transforms[0, 5, :3, :3].numpy(), transforms[5][:3, :3], atol=1e-6)
    np.testing.assert_allclose(
        posed.bone_transforms[0, 5, :3, 3].numpy(), transforms[5][:3, 3] + translation[0].numpy(), atol=1e-6
    )


def test_batch_equals_one_by_one() -> None:
    hand = default_hand("left")
    orient, local, translation, shape = random_pose(4, 10, torch.float32)
    together = pose_hand(hand, orient, local, translation, shape)
    for k in range(4):
        one = slice(k, k + 1)
        alone = pose_hand(hand, orient[one], local[one], translation[one], shape[k])
        torch.testing.assert_close(together.vertices[one], alone.vertices, atol=1e-6, rtol=0)
        torch.testing.assert_close(together.keypoints[one], alone.keypoints, atol=1e-6, rtol=0)


def test_a_few_shape_coefficients_are_the_first() -> None:
    hand = small_random_hand()
    shape = torch.tensor([[0.7, -1.3]], dtype=torch.float64)
    expected = hand.template + 0.7 * hand.shape_dirs[..., 0] - 1.3 * hand.shape_dirs[..., 1]
    torch.testing.assert_close(shaped_template(hand, shape)[0], expected)
    with pytest.raises(ValueError, match="has 4 shape directions, got 5"):
        shaped_template(hand, torch.zeros(1, 5, dtype=torch.float64))


@pytest.mark.parametrize("hand", [default_hand("right").to(dtype=torch.float64), small_random_hand()])
def test_a_mirrored_hand_poses_as_the_mirror_image(hand) -> None:
    mirror = MIRROR.double()
    orient, local, translation, shape = random_pose(2, hand.num_shape)
    posed = pose_hand(hand, orient, local, translation, shape)
    other = pose_hand(mirror_hand(hand), mirror_rotations(orient), mirror_rotations(local), translation * mirror, shape)
    # The formula in smplx adds 1e-8 to every component of a rotation vector, which no mirror undoes.
    torch.testing.assert_close(other.vertices, posed.vertices * mirror, atol=1e-7, rtol=0)
    torch.testing.assert_close(other.keypoints, posed.keypoints * mirror, atol=1e-7, rtol=0)
    at_mean = pose_hand(hand, orient, relative_to_flat(hand, local), translation, shape)
    other = mirror_hand(hand)
    local = relative_to_flat(other, mirror_rotations(local))
    other_at_mean = pose_hand(other, mirror_rotations(orient), local, translation * mirror, shape)
    torch.testing.assert_close(other_at_mean.vertices, at_mean.vertices * mirror, atol=1e-7, rtol=0)
    twice = mirror_hand(mirror_hand(hand))
    torch.testing.assert_close(twice.pose_dirs, hand.pose_dirs)
    assert torch.equal(twice.faces, hand.faces)
    assert torch.equal(twice.uv, hand.uv)


def test_gradients_reach_every_parameter() -> None:
    hand = small_random_hand(6)
    # Around zero and away from it; smplx's Rodrigues formula is differentiable in both.
    for size in (0.0, 1.0):
        orient, local, translation, shape = (size * value for value in random_pose(1, 4))
        displacement = torch.zeros(6, 3, dtype=torch.float64)
        inputs = [value.clone().requires_grad_() for value in (orient, local, translation, shape, displacement)]

        def outputs(orient, local, translation, shape, displacement):
            posed = pose_hand(hand, orient, local, translation, shape, displacement)
            return posed.vertices, posed.keypoints, posed.bone_transforms[:, ::5]

        assert torch.autograd.gradcheck(outputs, inputs, eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_default_hand_is_a_hand(side: str) -> None:
    import trimesh

    from nerfstudio_hands.geometry.topology import closing_faces

    hand = default_hand(side)
    joints = hand.joint_regressor @ hand.template
    knuckle = torch.linalg.vector_norm(joints[MANO_JOINT_NAMES.index("middle_1")] - joints[0])
    assert 0.08 < knuckle < 0.1
    mesh = trimesh.Trimesh(hand.template, torch.cat([hand.faces, closing_faces(hand.faces)]), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.euler_number == 2
    # A hand displaces 0.25 to 0.45 litres; a negative volume would mean that the faces look inwards.
    assert 2e-4 < mesh.volume < 5e-4
    # Distances of trimesh are positive inside.
    assert (trimesh.proximity.signed_distance(mesh, joints.numpy()) > 2e-3).all()
    torch.testing.assert_close(hand.weights.sum(dim=1), torch.ones(hand.num_vertices))
    assert (hand.weights >= 0).all() and (hand.joint_regressor >= 0).all()
    assert (hand.uv >= 0).all() and (hand.uv <= 1).all()


def test_every_fingertip_is_the_end_of_its_finger() -> None:
    hand = default_hand("right")
    points = hand.keypoint_regressor @ hand.template
    for finger in range(5):
        last, tip = points[3 + 4 * finger], points[4 + 4 * finger]
        length = torch.linalg.vector_norm(tip - last)
        assert 0.012 < length < 0.035
        reach = (hand.template - last) @ (tip - last) / length
        moves_with_end = hand.weights[:, MANO_JOINT_NAMES.index(JOINT_NAMES[3 + 4 * finger])] > 0.5
        # The nail may stand out a little beyond the pad.
        assert reach[moves_with_end].max() < length + 3e-3
        # Seen from the back, the tip lies in the middle of the finger's width.
        end = hand.template[moves_with_end]
        if finger > 0:
            across = torch.linalg.cross(tip - last, torch.tensor([0.0, 1.0, 0.0]))
            across = across / torch.linalg.vector_norm(across)
            low, high = (end @ across).aminmax()
            assert 0.3 < (tip @ across - low) / (high - low) < 0.7


def test_the_first_shape_direction_is_size() -> None:
    hand = default_hand("right")
    grown = hand.template + hand.shape_dirs[..., 0]
    ratio = (grown * hand.template).sum() / (hand.template**2).sum()
    torch.testing.assert_close(grown, ratio * hand.template, atol=1e-5, rtol=0)
    assert 1.04 < ratio < 1.12


def test_texture_corners_cover_no_area_twice() -> None:
    """The triangles of the island do not overlap: areas in UV add up to the area of their union on a raster."""
    import cv2

    uv = default_hand("right").uv.numpy()
    edge_a, edge_b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(edge_a[:, 0] * edge_b[:, 1] - edge_a[:, 1] * edge_b[:, 0]).sum() / 2
    size = 2048
    picture = np.zeros((size, size), np.uint8)
    for triangle in uv:
        cv2.fillConvexPoly(picture, np.round(triangle * size).astype(np.int32), 1)
    assert area > 0.2
    assert abs(picture.mean() / area - 1) < 0.03


def test_an_unknown_side_or_file_is_one_sentence(tmp_path) -> None:
    with pytest.raises(HandsError, match="'both'"):
        default_hand("both")
    with pytest.raises(HandsError, match="no hand model at"):
        load_hand(tmp_path / "absent.pkl", "left")
