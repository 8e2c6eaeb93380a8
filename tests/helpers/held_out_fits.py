"""Fits that end early, and the data parsers of captures in all layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.held_out_layouts import LAYOUTS
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.dataparsers.registrations import hands_data, interhand_data
from nerfstudio_hands.fitting import object_poses
from nerfstudio_hands.fitting.joints import joint_track, pose_fit
from nerfstudio_hands.fitting.silhouettes import boundary_fit, mask_refinement, segmentation
from nerfstudio_hands.fitting.silhouettes.mask_refinement import Rounds


def end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    modes, found = mask_refinement.smooth_modes, {}

    def smooth_modes(surface):
        if surface.sides not in found:
            found[surface.sides] = modes(surface)
        return found[surface.sides]

    monkeypatch.setattr(mask_refinement, "smooth_modes", smooth_modes)
    for name in ("ROUNDS", "LATER_ROUNDS"):
        rounds = vars(getattr(mask_refinement, name))
        monkeypatch.setattr(mask_refinement, name, Rounds(**{key: value[-1:] for key, value in rounds.items()}))
    monkeypatch.setattr(boundary_fit, "STEPS", 1)
    minimize = pose_fit.minimize
    monkeypatch.setattr(pose_fit, "minimize", lambda *args, iterations: minimize(*args, iterations=10))


def end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even earlier, and without regard to what is found; every part of a fit still runs."""
    end_early(monkeypatch)
    monkeypatch.setattr(segmentation, "LEARNING_ROUNDS", 1)
    monkeypatch.setattr(joint_track, "ITERATIONS", 5)
    monkeypatch.setattr(joint_track, "PERSON_ITERATIONS", 2)
    monkeypatch.setattr(object_poses, "CELLS", (20, 24))


def parser_config(layout: str, root: Path) -> HandsDataParserConfig:
    """Options of the data parser of a capture in some layout."""
    known = LAYOUTS[layout]
    config = (interhand_data if layout.startswith("interhand") else hands_data).config
    hand_model = str(root / known.hand_model) if known.hand_model else "default"
    return replace(config, data=root, hand_model=hand_model, **known.options)
