"""The data manager of hands that hold something."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.made_up_grasps import MadeUpGrasps

from nerfstudio_hands.datamanagers.scene_datamanager import SceneDataManagerConfig
from nerfstudio_hands.dataparsers.registrations import ObManDataParserConfig
from nerfstudio_hands.synthesis.obman_files import write_obman


def test_held_meshes_are_looked_at_before_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grasps = MadeUpGrasps(3)
    data = write_obman(
        tmp_path / "obman", [(split, grasps, range(3)) for split in ("train", "val", "test")]
    )
    path = sorted(data.rglob("model_normalized.obj"))[0]
    lines = path.read_text().splitlines()
    faces = [line for line in lines if line.startswith("f ")]
    path.write_text("\n".join(line for line in lines if line not in faces[::2]))
    config = SceneDataManagerConfig(dataparser=ObManDataParserConfig(data=data), workers=0)
    capsys.readouterr()
    config.setup(test_mode="test")
    assert "held meshes" not in capsys.readouterr().out
    config.setup(test_mode="val")
    said = capsys.readouterr().out
    assert "(train): 3 held meshes: 2 closed, 0 with holes but a clear inside, 1 without an inside" in said
    assert f"give no distances: {path.parts[-4]}/{path.parts[-3]}@" in said
    path.unlink()
    with pytest.raises(SystemExit, match="error: .*expected the mesh of a held thing, found no such file"):
        config.setup(test_mode="val")
