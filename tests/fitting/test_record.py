"""Files of fits: round trip, versions, and what happens where they cannot be kept."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, HandFit, cache, cache_path, fit_key, fit_or_load
from nerfstudio_hands.fitting.record import FIT_VERSION
from nerfstudio_hands.hand_model import HandPose, default_hand
from nerfstudio_hands.hand_model.npz_file import write_npz_hand


@pytest.fixture
def fit() -> HandFit:
    generator = torch.Generator().manual_seed(0)
    return HandFit(
        sides=("right",),
        frames=["a", "b"],
        shape=torch.randn(10, generator=generator),
        displacement=torch.randn(7, 3, generator=generator),
        pose=HandPose(
            torch.randn(2, 1, 3, generator=generator),
            torch.randn(2, 1, 15, 3, generator=generator),
            torch.randn(2, 1, 3, generator=generator),
            torch.tensor([[True], [False]]),
        ),
        camera_rotation={"03": np.array([0.1, 0.2, 0.3]), "07": np.zeros(3)},
        camera_zoom={"07": 0.02},
        keypoints_3d=np.full((2, 2, 21, 3), np.nan),
        segmented_masks={
            ("a", "03"): np.arange(15).reshape(3, 5) % 2 > 0,
            ("b", "07"): np.arange(28).reshape(7, 4) > 9,
        },
        mask_coverage={("a", "03"): 0.961234567, ("a", "07"): 0.7, ("b", "03"): float("nan")},
        report={"seconds": 1.5},
    )


@pytest.fixture
def own_fit(fit: HandFit, made_up_capture) -> HandFit:
    """One that is of the made-up capture."""
    return replace(
        fit,
        frames=made_up_capture.frames,
        pose=fit.pose[:1],
        keypoints_3d=fit.keypoints_3d[:1],
        segmented_masks={},
        mask_coverage={},
    )


def rewrite_version(path: Path, version: int) -> None:
    """Makes a file look as if another version had written it."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"]))
    arrays["header"] = np.array(json.dumps({**header, "version": version}))
    with path.open("wb") as file:
        np.savez(file, **arrays)


def test_a_fit_survives_its_file(fit: HandFit, tmp_path: Path):
    fit.save(tmp_path / "new" / "fit.npz")
    again = HandFit.load(tmp_path / "new" / "fit.npz")
    assert (again.sides, again.frames, again.report) == (fit.sides, fit.frames, fit.report)
    for name in ("shape", "displacement"):
        assert torch.equal(getattr(again, name), getattr(fit, name))
    for name in ("global_orient", "local_rotations", "translation", "valid"):
        assert torch.equal(getattr(again.pose, name), getattr(fit.pose, name))
    assert list(again.camera_rotation) == ["03", "07"]
    np.testing.assert_array_equal(again.camera_rotation["03"], [0.1, 0.2, 0.3])
    assert again.camera_zoom == {"07": 0.02}
    assert np.isnan(again.keypoints_3d).all()
    assert list(again.segmented_masks) == list(fit.segmented_masks)
    for key, mask in fit.segmented_masks.items():
        np.testing.assert_array_equal(again.segmented_masks[key], mask)
    # Of ("b", "07") nothing is known.
    keys = [("a", "03"), ("a", "07"), ("b", "03"), ("b", "07")]
    assert [again.mask_verdict(key) for key in keys] == ["good", "holes", "useless", "useless"]
    assert again.mask_coverage["a", "03"] == fit.mask_coverage["a", "03"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["fit.npz"]


def test_another_version_is_refused_with_both_numbers(fit: HandFit, tmp_path: Path):
    fit.save(tmp_path / "fit.npz")
    rewrite_version(tmp_path / "fit.npz", 999)
    with pytest.raises(HandsError, match=r"fit\.npz: expected .* version \d+, found version 999"):
        HandFit.load(tmp_path / "fit.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_fit_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "fit.npz").write_bytes(content)
    with pytest.raises(HandsError, match="something else"):
        HandFit.load(tmp_path / "fit.npz")
    with pytest.raises(HandsError, match="no such file"):
        HandFit.load(tmp_path / "absent.npz")


def test_a_full_disk_leaves_the_old_file_and_no_scrap(fit: HandFit, tmp_path: Path, monkeypatch):
    fit.save(tmp_path / "fit.npz")
    before = (tmp_path / "fit.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(HandsError, match="No space left on device"):
        fit.save(tmp_path / "fit.npz")
    assert (tmp_path / "fit.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_is_read_until_its_version_changes(own_fit, made_up_capture, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    calls = []
    monkeypatch.setattr(cache, "fit_capture", lambda *args, **options: calls.append(1) or own_fit)
    names = made_up_capture.camera_names
    fit_or_load(made_up_capture, FitOptions(names))
    fit_or_load(made_up_capture, FitOptions(names))
    assert len(calls) == 1
    (file,) = (tmp_path / "cache").iterdir()
    rewrite_version(file, 0)
    fit_or_load(made_up_capture, FitOptions(names))
    assert len(calls) == 2
    assert "found version 0" in " ".join(capsys.readouterr().out.split())
    fit_or_load(made_up_capture, FitOptions(names), refit=True)
    assert len(calls) == 3

    rewrite_version(file, 0)
    with pytest.raises(HandsError, match="version 0"):
        fit_or_load(made_up_capture, FitOptions(names), path=file)


def test_what_makes_a_fit_doubtful_is_said_whenever_it_is_read(own_fit, made_up_capture, tmp_path: Path, capsys):
    sentence = "Joints of [the] right hand fit no hand in 1 of 2 frames (b)."
    replace(own_fit, report={**own_fit.report, "doubts": [sentence]}).save(tmp_path / "fit.npz")
    for _ in range(2):
        fit_or_load(made_up_capture, FitOptions(made_up_capture.camera_names), path=tmp_path / "fit.npz")
        assert sentence in capsys.readouterr().out
    fit_or_load(made_up_capture, FitOptions(), path=tmp_path / "fit.npz", say_doubts=False)
    assert capsys.readouterr().out == ""


def test_a_key_that_is_known_is_not_worked_out_again(own_fit, made_up_capture, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    options = FitOptions(made_up_capture.camera_names)
    key = fit_key(made_up_capture, options)
    own_fit.save(cache_path(made_up_capture, options))
    monkeypatch.setattr(cache, "fit_key", lambda *_: pytest.fail("hashed again"))
    assert fit_or_load(made_up_capture, options, key=key).sides == own_fit.sides


@pytest.mark.parametrize("damage", ["cut", "member", "missing array", "other shape"])
def test_a_damaged_fit_is_made_again(own_fit, made_up_capture, tmp_path: Path, monkeypatch, capsys, damage: str):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "fit_capture", lambda *args, **options: own_fit)
    names = made_up_capture.camera_names
    fit_or_load(made_up_capture, FitOptions(names))
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    with np.load(file) as archive:
        arrays = dict(archive)
    if damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "member":
        file.write_bytes(whole[:150] + bytes(60) + whole[210:])
    elif damage == "missing array":
        np.savez(file, **{name: value for name, value in arrays.items() if name != "shape"})
    else:
        np.savez(file, **{**arrays, "translation": arrays["translation"][:0]})
    again = fit_or_load(made_up_capture, FitOptions(names))
    assert "Fitting the hands again" in capsys.readouterr().out
    assert torch.equal(again.pose.translation, own_fit.pose.translation)
    assert HandFit.load(file).sides == own_fit.sides


def test_the_key_follows_what_the_fit_depends_on(made_up_capture, tmp_path: Path):
    names = made_up_capture.camera_names
    keys = {cache_path(made_up_capture, FitOptions(names)), cache_path(made_up_capture, FitOptions(names[:-1]))}
    keys.add(cache_path(made_up_capture, FitOptions(names, refine_masks=False)))
    moved = replace(made_up_capture, detections=made_up_capture.detections + 1e-3)
    keys.add(cache_path(moved, FitOptions(names)))
    other_mask = dict(made_up_capture.masks)
    other_mask["a", "00"] = other_mask["a", "01"]
    keys.add(cache_path(replace(made_up_capture, masks=other_mask), FitOptions(names)))
    other_image = dict(made_up_capture.images)
    other_image["a", "00"] = other_image["a", "01"]
    keys.add(cache_path(replace(made_up_capture, images=other_image), FitOptions(names)))
    assert len(keys) == 6
    assert cache_path(made_up_capture, FitOptions(names)) in keys


def test_the_key_follows_calibration_options_version_and_what_the_hand_model_holds(
    made_up_capture, tmp_path: Path, monkeypatch
):
    names = made_up_capture.camera_names
    hand = default_hand("right")
    write_npz_hand(tmp_path / "hand.npz", hand)
    options = FitOptions(names, tmp_path / "hand.npz", sides=("right",))
    keys = [cache_path(made_up_capture, options)]
    assert cache_path(made_up_capture, options) == keys[0]
    for field, change in (("intrinsics", 0.5), ("world_to_camera", 1e-4)):
        # The last camera is held out, but the verdicts on its masks are kept with the fit.
        for number, taking_part in ((3, names), (-1, names[:-1])):
            cameras = list(made_up_capture.cameras)
            matrix = getattr(cameras[number], field).copy()
            matrix[0, 2] += change
            cameras[number] = replace(cameras[number], **{field: matrix})
            keys.append(cache_path(replace(made_up_capture, cameras=cameras), replace(options, cameras=taking_part)))
    keys.append(cache_path(made_up_capture, replace(options, cameras=names[:-1])))
    keys.append(cache_path(replace(made_up_capture, masks_inverted={("a", "00")}), options))
    for other in ({"sides": ("left", "right")}, {"refine_masks": False}, {"refine_cameras": False}):
        keys.append(cache_path(made_up_capture, replace(options, **other)))
    keys.append(cache_path(made_up_capture, replace(options, shape_frames=[0])))
    keys.append(cache_path(replace(made_up_capture, object_masks=made_up_capture.masks), options))
    # Another hand under the same name.
    write_npz_hand(tmp_path / "hand.npz", replace(hand, template=hand.template * 1.01))
    keys.append(cache_path(made_up_capture, options))
    monkeypatch.setattr(cache, "FIT_VERSION", FIT_VERSION + 1)
    keys.append(cache_path(made_up_capture, options))
    assert len(set(keys)) == len(keys) == 14


def test_a_cache_that_cannot_be_written_is_said_before_the_work(made_up_capture, tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(cache, "fit_capture", lambda *args, **options: pytest.fail("it fitted first"))
    with pytest.raises(HandsError, match="NERFSTUDIO_HANDS_CACHE"):
        fit_or_load(made_up_capture, FitOptions(made_up_capture.camera_names))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda arrays, header: arrays.update(mask_0=arrays["mask_0"][:-1]), "a mask of"),
        (lambda arrays, header: arrays.update(mask_1=np.zeros(4)), "a mask of"),
        (lambda arrays, header: header.update(frames=["a", "a"]), "frames of the same name: a"),
        (lambda arrays, header: header.update(cameras=["07", "07"]), "cameras of the same name: 07"),
        (lambda arrays, header: arrays["translation"].fill(1e12), "beyond"),
    ],
)
def test_a_file_that_was_altered_is_refused(fit: HandFit, tmp_path: Path, change, found: str):
    arrays = fit.to_arrays()
    header = json.loads(str(arrays["header"]))
    change(arrays, header)
    np.savez(tmp_path / "fit.npz", **{**arrays, "header": np.array(json.dumps(header))})
    with pytest.raises(HandsError, match=f"fit.npz: expected fitted hands, found something else .*{found}"):
        HandFit.load(tmp_path / "fit.npz")


def test_a_fit_of_another_capture_is_not_taken(own_fit: HandFit, made_up_capture, tmp_path: Path):
    """By its masks, which are of other sizes than the capture's pictures, or by its frames."""
    options = FitOptions(made_up_capture.camera_names)
    key = made_up_capture.frames[0], made_up_capture.camera_names[0]
    for other in (replace(own_fit, segmented_masks={key: np.ones((3, 5), bool)}), replace(own_fit, frames=["x"])):
        other.save(tmp_path / "fit.npz")
        with pytest.raises(HandsError, match="fit.npz: expected the hands of .*found"):
            fit_or_load(made_up_capture, options, path=tmp_path / "fit.npz")
