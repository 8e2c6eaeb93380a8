"""`ns-hands synthesize`: two layouts, each with its own options."""

from pathlib import Path

import pytest
import tyro

from nerfstudio_hands.cli.synthesize import synthesize
from nerfstudio_hands.synthesis import capture_room, dexycb_files, freihand_files, ho3d_files, interhand, obman_files
from nerfstudio_hands.synthesis.options import (
    CaptureRoomOptions,
    DexYcbOptions,
    FreiHandOptions,
    Ho3dOptions,
    InterHandOptions,
    ObManOptions,
    SubjectOptions,
)


@pytest.fixture
def calls(monkeypatch):
    made = []

    def note(output, options, **others):
        made.append((output, options, others.get("processes")))

    monkeypatch.setattr(capture_room, "synthesize_capture_room", note)
    monkeypatch.setattr(interhand, "synthesize_interhand", note)
    monkeypatch.setattr(freihand_files, "synthesize_freihand", note)
    monkeypatch.setattr(ho3d_files, "synthesize_ho3d", note)
    monkeypatch.setattr(obman_files, "synthesize_obman", note)
    monkeypatch.setattr(dexycb_files, "synthesize_dexycb", note)
    return made


def test_capture_room_takes_the_options_that_it_always_had(calls):
    tyro.cli(synthesize, args=["capture-room", "--output", "a/b", "--hand", "both", "--frames", "2", "--seed", "4"])
    assert calls == [(Path("a/b"), CaptureRoomOptions(hand="both", frames=2, seed=4), None)]


def test_interhand_takes_several_sequences(calls):
    words = "interhand --output x --sequences ROM04_RT_Occlusion ROM03_LT_No_Occlusion --fps 30 --processes 1"
    tyro.cli(synthesize, args=words.split())
    options = InterHandOptions(sequences=("ROM04_RT_Occlusion", "ROM03_LT_No_Occlusion"), fps=30)
    assert calls == [(Path("x"), options, 1)]


def test_both_layouts_take_an_object(calls):
    tyro.cli(synthesize, args=["capture-room", "--output", "a", "--object", "mug"])
    tyro.cli(synthesize, args=["interhand", "--output", "b", "--object", "box"])
    assert [options.object for _, options, _ in calls] == ["mug", "box"]
    with pytest.raises(SystemExit):
        tyro.cli(synthesize, args=["capture-room", "--output", "a", "--object", "pen"])


@pytest.mark.parametrize(("layout", "kind"), [("capture-room", CaptureRoomOptions), ("interhand", InterHandOptions)])
def test_both_layouts_take_a_subject_of_another_build(calls, layout: str, kind):
    words = f"{layout} --output x --subject.finger-thickness 1.15 --subject.nail-length 3"
    tyro.cli(synthesize, args=words.split())
    assert calls[0][1] == kind(subject=SubjectOptions(finger_thickness=1.15, nail_length=3.0))


def test_images_of_single_hands_take_their_layouts_options(calls):
    tyro.cli(synthesize, args=["freihand", "--output", "a", "--training", "9", "--copies", "1"])
    tyro.cli(synthesize, args=["ho3d", "--output", "b", "--version", "2", "--no-truth"])
    assert [options for _, options, _ in calls] == [
        FreiHandOptions(training=9, copies=1),
        Ho3dOptions(version=2, truth=False),
    ]


def test_images_of_grasps_take_their_layouts_options(calls):
    tyro.cli(synthesize, args=["obman", "--output", "a", "--training", "9", "--seed", "2"])
    tyro.cli(synthesize, args=["dexycb", "--output", "b", "--frames", "3", "--left", "0"])
    assert [options for _, options, _ in calls] == [ObManOptions(training=9, seed=2), DexYcbOptions(frames=3, left=0)]


def test_a_layout_must_be_named(calls, capsys):
    with pytest.raises(SystemExit):
        tyro.cli(synthesize, args=["--output", "x"])
    assert "interhand" in capsys.readouterr().err and not calls
