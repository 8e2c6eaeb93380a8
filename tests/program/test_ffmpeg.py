"""Videos where no ffmpeg is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from nerfstudio.utils.install_checks import check_ffmpeg_installed

from nerfstudio_hands.program.ffmpeg import offer_ffmpeg
from nerfstudio_hands.training.pipeline import HandPipeline, HandPipelineConfig


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_pipeline_offers_the_carried_ffmpeg_to_nerfstudio(no_ffmpeg: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(VanillaPipeline, "__init__", lambda self, *args, **kwargs: None)
    monkeypatch.setattr("nerfstudio_hands.training.pipeline.patch_render_paths", lambda pipeline: None)
    with pytest.raises(SystemExit):
        check_ffmpeg_installed()
    HandPipeline(HandPipelineConfig(), device="cpu")
    check_ffmpeg_installed()
    assert "ffmpeg version" in subprocess.check_output(["ffmpeg", "-version"], text=True)


def test_an_installed_ffmpeg_goes_first(no_ffmpeg: Path):
    installed = no_ffmpeg / "ffmpeg"
    installed.touch(mode=0o755)
    offer_ffmpeg()
    assert shutil.which("ffmpeg") == str(installed) and os.environ["PATH"] == str(no_ffmpeg)


def test_nothing_changes_where_none_is_carried(no_ffmpeg: Path, monkeypatch: pytest.MonkeyPatch):
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    offer_ffmpeg()
    assert os.environ["PATH"] == str(no_ffmpeg)


def test_the_link_goes_with_the_process(no_ffmpeg: Path):
    code = "import shutil, nerfstudio_hands.program.ffmpeg as f; f.offer_ffmpeg(); print(shutil.which('ffmpeg'))"
    link = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert link.endswith("ffmpeg") and not Path(link).parent.exists()
