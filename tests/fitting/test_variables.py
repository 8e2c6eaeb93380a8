"""What a fit optimises, cut into groups of frames and put together again."""

from __future__ import annotations

from dataclasses import fields

import torch

from nerfstudio_hands.fitting.variables import PER_FRAME, Variables


def made_up(seed: int, frames: int) -> Variables:
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "global_orient": (frames, 2, 3),
        "local_rotations": (frames, 2, 15, 3),
        "translation": (frames, 2, 3),
        "shape": (10,),
        "displacement": (7, 3),
        "camera_rotation": (4, 3),
        "camera_zoom": (4,),
        "landmark_offset": (21, 3),
    }
    values = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return Variables(**values, valid=torch.rand(frames, 2, generator=generator) > 0.5)


def test_a_group_of_frames_goes_back_with_what_all_frames_share():
    whole, chosen = made_up(0, 5), [3, 0]
    part = whole.at(chosen)
    for name in PER_FRAME:
        assert torch.equal(getattr(part, name), torch.stack([getattr(whole, name)[frame] for frame in chosen]))
    fitted = made_up(1, 2)
    again = whole.put(chosen, fitted)
    for field in fields(Variables):
        values = getattr(again, field.name)
        if field.name not in PER_FRAME:
            assert torch.equal(values, getattr(fitted, field.name))
            continue
        for frame in range(5):
            source = (
                getattr(fitted, field.name)[chosen.index(frame)]
                if frame in chosen
                else getattr(whole, field.name)[frame]
            )
            assert torch.equal(values[frame], source)
    # What was taken apart is left as it is.
    assert torch.equal(whole.translation, made_up(0, 5).translation)
