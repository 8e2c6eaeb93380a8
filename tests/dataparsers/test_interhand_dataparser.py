"""From a tiny InterHand2.6M tree to nerfstudio's cameras; the fit is made by hand, hands at rest on the true wrists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.make_interhand import COLOUR, FRAMES, HEIGHT, TYPES, WIDTH, fit_by_hand, make_interhand

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.dataparsers.image_masks import ImageMasks
from nerfstudio_hands.dataparsers.registrations import hands_data, interhand_data
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, HandFit
from nerfstudio_hands.hand_model import SIDES

ROM03, ROM04 = FRAMES


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Puts the fit made by hand in place of the real one, and keeps what was asked of it."""
    kept = {}

    def fit_or_load(capture: Capture, options: FitOptions, **_) -> HandFit:
        kept.update(vars(options))
        return fit_by_hand(capture)

    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", fit_or_load)
    return kept


@pytest.fixture
def parse(tmp_path: Path, asked: dict):
    """Sets up a data parser on the tree."""
    make_interhand(tmp_path)

    def setup(specification=interhand_data, **options):
        config = specification.config
        return type(config)(**{"data": tmp_path, **options}).setup()

    return setup


def names(outputs) -> list[tuple[str, str]]:
    """Frame and camera of each row."""
    avatar = outputs.metadata["hands"]
    frames, cameras = (outputs.cameras.metadata[key][:, 0].tolist() for key in ("frame_index", "camera_index"))
    return [(avatar.frame_names[f], avatar.camera_names[c]) for f, c in zip(frames, cameras, strict=True)]


@pytest.mark.parametrize("specification", [interhand_data, hands_data], ids=["interhand-data", "hands-data"])
def test_frames_and_cameras_are_held_out(parse, asked, specification):
    parser = parse(specification, eval_cameras=("400412",))
    train, test = parser.get_dataparser_outputs("train"), parser.get_dataparser_outputs("test")
    # Of four frames a quarter is one, of two half a frame, which is none.
    assert asked["cameras"] == ["400002", "400004"] and asked["shape_frames"] == [0, 1, 2, 4, 5]
    held_out = f"{ROM03}/72"
    assert {frame for frame, _ in names(train)} == set(train.metadata["hands"].frame_names) - {held_out}
    assert {camera for _, camera in names(train)} == {"400002", "400004"} and len(names(train)) == 10
    assert train.metadata["protocols"] is None
    assert train.metadata["hands"].train_frames.tolist() == [True, True, True, False, True, True]
    assert list(zip(test.metadata["protocols"], names(test), strict=True)) == [
        *(("view", (frame, "400412")) for frame in train.metadata["hands"].frame_names if frame != held_out),
        ("pose", (held_out, "400002")),
        ("pose", (held_out, "400004")),
        ("both", (held_out, "400412")),
    ]
    assert all(masks == ImageMasks(training_scale=masks.training_scale) for masks in train.metadata["masks"])


def test_true_masks_judge_held_out_images_and_train_nothing(parse, asked, tmp_path):
    for path in (tmp_path / "images").rglob("*.jpg"):
        mask = tmp_path / "truth" / "mask_skin" / path.relative_to(tmp_path / "images").with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.touch()
    parser = parse(eval_cameras=("400412",))
    train, held_out = (
        [masks.truth for masks in parser.get_dataparser_outputs(split).metadata["masks"]] for split in ("train", "test")
    )
    assert held_out and all(path.is_relative_to(tmp_path / "truth") and path.exists() for path in held_out)
    assert set(train) == {None}


def test_vertices_fall_where_the_published_projection_puts_them(parse, tmp_path):
    truth = make_interhand(tmp_path / "again")
    outputs = parse(eval_cameras=()).get_dataparser_outputs("train")
    avatar = outputs.metadata["hands"]
    row = names(outputs).index((f"{ROM04}/108", "400004"))
    frame = avatar.frame_names.index(f"{ROM04}/108")
    posed = avatar.all_hands.pose(avatar.all_pose[[frame]], avatar.shape, avatar.all_displacement)
    millimetres = posed.vertices[0].double().numpy() * 1000
    in_camera = (millimetres - truth.campos["400004"]) @ truth.camrot["400004"].T
    expected = in_camera[:, :2] / in_camera[:, 2:] * truth.focal["400004"] + truth.princpt["400004"] + 0.5

    camera = outputs.cameras[row]
    assert (int(camera.width), int(camera.height)) == (WIDTH, HEIGHT)
    rotation, center = camera.camera_to_worlds[:, :3], camera.camera_to_worlds[:, 3]
    x, y, z = ((avatar.all_vertices([frame])[0] - center) @ rotation).T
    found = torch.stack([camera.fx * x / -z + camera.cx, camera.fy * -y / -z + camera.cy], dim=-1)
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)
    # The box holds all hands that are there, and none of those that are parked.
    low, high = outputs.scene_box.aabb
    shown = avatar.all_vertices([frame])[0]
    assert (shown > low).all() and (shown < high).all() and (high - low).max() < 1.0


def test_rows_of_one_hand_are_those_in_which_it_is_there(parse):
    outputs = parse(hand="left", eval_cameras=(), eval_frame_fraction=0.0).get_dataparser_outputs("train")
    frames = {int(frame.split("/")[1]) for frame, _ in names(outputs)}
    assert frames == {frame for frame, hands in TYPES.items() if hands != "right"}
    assert len(outputs.metadata["hands"].pose.valid) == len(TYPES)


def test_one_of_two_hands_keeps_its_own_pose_and_displacement(parse, monkeypatch):
    def two_hands(capture: Capture, *_, **__) -> HandFit:
        fit = fit_by_hand(capture)
        generator = torch.Generator().manual_seed(0)
        fit.displacement = 0.001 * torch.randn(fit.displacement.shape, generator=generator)
        fit.pose.local_rotations = 0.2 * torch.randn(fit.pose.local_rotations.shape, generator=generator)
        return fit

    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", two_hands)
    both = parse(hand="both", eval_cameras=()).get_dataparser_outputs("train").metadata["hands"]
    for k, side in enumerate(SIDES):
        one = parse(hand=side, eval_cameras=()).get_dataparser_outputs("train").metadata["hands"]
        assert one.surface.sides == (side,)
        alone = one.surface.pose(one.pose, one.shape, one.displacement).vertices
        together = both.surface.pose(both.pose, both.shape, both.displacement).vertices
        assert torch.equal(one.pose.valid[:, 0], both.pose.valid[:, k])
        torch.testing.assert_close(alone, together[:, both.surface.vertex_slices[k]], atol=1e-6, rtol=0)


def test_protocols_of_the_literature(parse, asked):
    parser = parse(protocol="hand-avatar", eval_cameras=())
    train, test = parser.get_dataparser_outputs("train"), parser.get_dataparser_outputs("val")
    assert {frame.split("/")[0] for frame, _ in names(train)} == {ROM04}
    assert {frame.split("/")[0] for frame, _ in names(test)} == {ROM03}
    assert set(test.metadata["protocols"]) == {"pose"} and len(names(test)) == 12
    with pytest.raises(HandsError, match="--sequences.*ROM07_RT_Finger_Occlusions"):
        parse(protocol="rom07").get_dataparser_outputs("train")
    with pytest.raises(HandsError, match="--protocol: expected rom07 without"):
        parse(protocol="rom07", sequences=(ROM03,)).get_dataparser_outputs("train")


@pytest.mark.parametrize("protocol", ["hand-avatar", "rom07"])
def test_a_protocol_holds_out_what_it_says_and_evaluates_all_of_it(protocol):
    specification = interhand_data.config
    config = type(specification)(protocol=protocol).resolved()
    assert config.eval_cameras == () and config.max_eval_images == 0
    with pytest.raises(HandsError, match="--eval-cameras, --max-eval-images too"):
        type(specification)(protocol=protocol, eval_cameras=("400002",), max_eval_images=5).resolved()


def test_no_camera_is_held_out_by_a_protocol(parse, asked, monkeypatch):
    monkeypatch.setattr("nerfstudio_hands.captures.splits.HELD_OUT_EVERY", 2)
    parser = parse(protocol="hand-avatar", max_eval_images=0)
    assert {camera for _, camera in names(parser.get_dataparser_outputs("train"))} == set(COLOUR)
    # Four frames of three cameras, which by default would be one camera fewer in training.
    assert len(names(parser.get_dataparser_outputs("test"))) == 12
    assert asked["cameras"] == list(COLOUR)


def test_holding_out_nothing_leaves_an_empty_evaluation(parse, asked):
    test = parse(eval_cameras=(), eval_frame_fraction=0.0).get_dataparser_outputs("test")
    assert names(test) == [] and len(test.cameras) == 0 and test.image_filenames == []


def test_one_camera_trains_and_another_is_evaluated(parse, asked):
    parser = parse(cameras=("400004",), eval_cameras=("410001",))
    assert {camera for _, camera in names(parser.get_dataparser_outputs("train"))} == {"400004"}
    assert asked["cameras"] == ["400004"]
    test = parser.get_dataparser_outputs("test")
    assert {c for (_, c), p in zip(names(test), test.metadata["protocols"], strict=True) if p == "view"} == {"410001"}
    alone = parse(cameras=("400004",)).get_dataparser_outputs("test")
    assert set(alone.metadata["protocols"]) == {"pose"}


def test_evaluation_is_capped_for_each_protocol(parse):
    test = parse(max_eval_images=1, eval_sequences=(ROM04,), eval_cameras=("400412",)).get_dataparser_outputs("test")
    assert test.metadata["protocols"] == ["view", "pose", "both"]


def test_what_was_survived_is_said(parse, tmp_path, capsys):
    (tmp_path / "images" / "test" / "Capture0" / ROM03 / f"cam{COLOUR[0]}" / "image18.jpg").unlink()
    parse().get_dataparser_outputs("train")
    assert "Pictures that the annotations name but that are missing: 1." in capsys.readouterr().out
