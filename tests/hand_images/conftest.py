from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nerfstudio_hands.synthesis.freihand_files import synthesize_freihand
from nerfstudio_hands.synthesis.ho3d_files import synthesize_ho3d
from nerfstudio_hands.synthesis.options import FreiHandOptions, Ho3dOptions


@pytest.fixture(scope="session")
def freihand_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in FreiHAND's layout, not to be changed."""
    return synthesize_freihand(
        tmp_path_factory.mktemp("made") / "freihand", FreiHandOptions(training=8, evaluation=3, size=96)
    )


@pytest.fixture(scope="session")
def ho3d_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in HO-3D's layout, not to be changed."""
    return synthesize_ho3d(
        tmp_path_factory.mktemp("made") / "ho3d", Ho3dOptions(training=6, evaluation=3, frames=2, size=96)
    )


@pytest.fixture
def own_freihand(freihand_folder: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(freihand_folder, tmp_path / "freihand"))


@pytest.fixture
def own_ho3d(ho3d_folder: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(ho3d_folder, tmp_path / "ho3d"))
