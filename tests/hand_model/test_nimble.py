"""The reader of NIMBLE's files and its hand, on made-up files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_nimble import SIDE, nimble_arrays, write_nimble_files
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand, load_hand
from nerfstudio_hands.hand_model.joints import TIP_JOINTS
from nerfstudio_hands.hand_model.load import load_right_hand
from nerfstudio_hands.hand_model.nimble import NimbleHand, pose_nimble
from nerfstudio_hands.hand_model.nimble_file import FILES, MODEL, TEXTURE, TEXTURE_FACES, TO_MANO, read_nimble_skins
from nerfstudio_hands.synthesis.made_up_mano import write_made_up_mano
from nerfstudio_hands.transforms.color import linear_to_srgb


@pytest.fixture(scope="module")
def arrays() -> dict:
    return nimble_arrays()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, arrays) -> Path:
    return write_nimble_files(tmp_path_factory.mktemp("nimble"), arrays)


@pytest.fixture(scope="module")
def hand(folder: Path) -> NimbleHand:
    hand = load_right_hand(folder)
    assert isinstance(hand, NimbleHand)
    return hand


def by_nimbles_rule(model: dict, theta: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skin and 25 joints of one hand in millimeters, joint by joint, from the arrays as they are in the file."""
    shaped = model["vert"][0] + ((beta * model["shape_pm_std"][:20]) @ model["shape_basis"][:20]).reshape(-1, 3)
    joints = model["jreg_bone"] @ shaped[: model["bone_v_sep"]]
    real = theta * model["pose_pm_std"][:30] + model["pose_pm_mean"][:30]
    turns = Rotation.from_rotvec((real @ model["pose_basis"][:30] + model["pose_mean"]).reshape(19, 3)).as_matrix()
    rest = shaped + model["all_pbs"] @ (turns - np.eye(3)).reshape(-1)
    # The thumb has three bones, the fingers four; each chain ends in a joint that turns nothing.
    chains = ((1, 2, 3, 4), *((k, k + 1, k + 2, k + 3, k + 4) for k in (5, 10, 15, 20)))
    total, bone = {0: (np.eye(3), np.zeros(3))}, iter(turns)
    for chain in chains:
        parent = 0
        for joint in chain:
            turn, shift = total[parent]
            own = turn if joint == chain[-1] else turn @ next(bone)
            total[joint] = own, turn @ joints[joint] + shift - own @ joints[joint]
            parent = joint
    moved = np.stack([rest @ total[joint][0].T + total[joint][1] for joint in range(25)])
    skin = np.einsum("vj,jvc->vc", model["all_sw"], moved)[model["skin_v_sep"] :]
    return skin, np.stack([total[joint][0] @ joints[joint] + total[joint][1] for joint in range(25)])


def test_hands_are_posed_by_nimbles_rule(arrays, hand):
    rng = np.random.default_rng(1)
    pose, shape = rng.normal(size=(2, 30)), rng.normal(size=(2, 20))
    found = pose_nimble(hand, torch.from_numpy(pose).float(), torch.from_numpy(shape).float())
    for index in range(2):
        skin, joints = by_nimbles_rule(arrays[MODEL], pose[index], shape[index])
        np.testing.assert_allclose(1000 * found.vertices[index].numpy(), skin, atol=1e-2)
        np.testing.assert_allclose(1000 * found.center[index].numpy(), joints[0], atol=1e-3)
        # MANO's file of the made-up hand has the skin's vertices but one.
        to_mano = 1000 * (hand.to_mano @ found.vertices[index]).numpy()
        np.testing.assert_allclose(to_mano, skin[:-1], atol=1e-2)


def apart(points: torch.Tensor) -> torch.Tensor:
    return torch.cdist(points[None], points[None])[0]


def test_joints_are_manos_in_the_projects_order(folder, hand, tmp_path):
    ours = default_hand("right")
    expected = apart(ours.keypoint_regressor @ ours.template)
    # By NIMBLE's own regressor, whose rows are in some order.
    torch.testing.assert_close(apart(hand.to_keypoints @ hand.template), expected, atol=1e-5, rtol=0)
    for name in FILES:
        (tmp_path / name).symlink_to(folder / name)
    write_made_up_mano(tmp_path, "left")
    by_mano = load_right_hand(tmp_path / MODEL)
    # Which vertex is a fingertip MANO's reader finds by itself.
    joints = [joint for joint in range(21) if joint not in TIP_JOINTS]
    torch.testing.assert_close(by_mano.to_keypoints[joints], hand.to_keypoints[joints], atol=1e-6, rtol=0)


def test_skins_are_read_at_the_vertices_from_a_texture_upside_down_and_blue_first(arrays, hand, tmp_path):
    places = np.arange(SIDE) / SIDE
    ramp = np.stack(np.broadcast_arrays(0.5, places[:, None], places[None, :]), -1)
    diffuse = {"mean": ramp.reshape(-1), "basis": np.zeros((3 * SIDE**2, 10)), "std": np.ones(10)}
    write_nimble_files(tmp_path, {TEXTURE: {"diffuse": diffuse}})
    found = linear_to_srgb(torch.from_numpy(read_nimble_skins(tmp_path, hand, [1])[0]))
    uv = torch.zeros(hand.num_vertices, 2).double()
    uv[hand.faces.reshape(-1)] = hand.uv.reshape(-1, 2).double()
    half = 0.5 / SIDE
    inside = ((uv > half) & (uv < 1 - half)).all(1)
    assert inside.sum() > 1000
    expected = torch.stack([uv[:, 0] - half, 1 - uv[:, 1] - half, torch.full_like(uv[:, 0], 0.5)], 1)
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-6, rtol=0)


def test_people_differ_by_their_seeds_and_as_much_as_the_file_says(folder, hand):
    found = linear_to_srgb(torch.from_numpy(read_nimble_skins(folder, hand, range(200))))
    assert found.std(0).mean() == pytest.approx(0.03 * 10**0.5 * 2 / 3, rel=0.15)
    again = linear_to_srgb(torch.from_numpy(read_nimble_skins(folder, hand, [7])))
    assert torch.equal(again[0], found[7])




@pytest.mark.parametrize("missing", FILES[1:])
def test_a_missing_file_is_named(folder, tmp_path, missing):
    for name in FILES:
        if name != missing:
            (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(HandsError, match=f"expected NIMBLE's files .* found no {missing}"):
        load_right_hand(tmp_path)


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        (MODEL, lambda model: {"vert": model["vert"] / 1000}, "expected a hand in millimeters, .* as in meters"),
        (MODEL, lambda model: {"vert": model["vert"] * 100}, "expected a hand in millimeters"),
        (MODEL, lambda model: {"shape_basis": model["shape_basis"] * 1e12}, "expected numbers up to 1 in shape_dirs"),
        (MODEL, lambda model: {"pose_mean": model["pose_mean"] + 1e12}, "expected numbers up to 100 in pose_mean"),
        (MODEL, lambda model: {"all_sw": model["all_sw"][:, :16]}, r"expected all_sw of the shape \(1640, 25\)"),
        (MODEL, lambda model: {"pose_basis": model["pose_basis"][:10]}, r"expected pose_basis of the shape \(30, 57\)"),
        (MODEL, lambda model: {"jreg_mano": model["jreg_mano"] * 2}, "expected jreg_mano .* put MANO_RIGHT.pkl"),
        (MODEL, lambda model: {"skin_f": model["skin_f"] + 1}, "expected skin_f with indices 0 to 1609, found 1 to"),
        (MODEL, lambda model: {"shape_basis": "none"}, "expected .*, found none named shape_basis"),
        (TO_MANO, lambda found: {"lmk_faces_idx": found["lmk_faces_idx"][:3]}, "expected 20 sets of faces"),
        (TO_MANO, lambda v: {"lmk_faces_idx": [10**6 + k for k in v["lmk_faces_idx"]]}, "expected .* indices"),
    ],
)
def test_bad_numbers_are_one_sentence(folder, tmp_path, arrays, name, entries, message):
    for other in FILES:
        (tmp_path / other).symlink_to(folder / other)
    (tmp_path / name).unlink()
    write_nimble_files(tmp_path, {name: {**arrays[name], **entries(arrays[name])}})
    with pytest.raises(HandsError, match=f"{name}: {message}") as error:
        load_right_hand(tmp_path)
    assert "\n" not in str(error.value)


def test_texture_coordinates_of_another_surface_are_refused(folder, tmp_path, arrays):
    for other in FILES[:-1]:
        (tmp_path / other).symlink_to(folder / other)
    write_nimble_files(tmp_path, {TEXTURE_FACES: arrays[TEXTURE_FACES][:-2]})
    with pytest.raises(HandsError, match=f"{TEXTURE_FACES}: expected texture coordinates .* found none for 2 of"):
        load_right_hand(tmp_path)


def test_a_texture_of_other_shapes_is_refused(hand, tmp_path, arrays):
    diffuse = arrays[TEXTURE]["diffuse"]
    write_nimble_files(tmp_path, {TEXTURE: {"diffuse": {**diffuse, "mean": diffuse["mean"][3:]}}})
    with pytest.raises(HandsError, match=f"{TEXTURE}: expected diffuse with mean"):
        read_nimble_skins(tmp_path, hand, [1])


def test_manos_file_of_another_surface_is_refused(folder, tmp_path, arrays):
    for other in FILES:
        (tmp_path / other).symlink_to(folder / other)
    (tmp_path / TO_MANO).unlink()
    fewer = {name: [part[:778] for part in parts] for name, parts in arrays[TO_MANO].items()}
    write_nimble_files(tmp_path, {TO_MANO: fewer})
    write_made_up_mano(tmp_path, "right")
    with pytest.raises(HandsError, match=r"MANO_RIGHT.pkl: expected a hand of 778 vertices, .* found one of 1609"):
        load_right_hand(tmp_path)


def test_what_could_run_code_is_refused(folder, tmp_path):
    for other in FILES[1:]:
        (tmp_path / other).symlink_to(folder / other)
    (tmp_path / MODEL).write_bytes(pickle.dumps({"vert": Path("a")}))
    with pytest.raises(HandsError, match=f"{MODEL}: .*could run code"):
        load_right_hand(tmp_path)


def test_what_needs_manos_layout_refuses_nimble(folder):
    for source in (folder, folder / MODEL):
        with pytest.raises(HandsError, match="expected a hand in MANO's layout, found NIMBLE's files"):
            load_hand(source, "left")
