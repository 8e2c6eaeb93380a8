"""A coloured pair of hands, and the glTF validator."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nerfstudio_hands.export.avatar import textured_mesh, visible_part
from nerfstudio_hands.export.textured_mesh import TexturedMesh
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand

VALIDATE = """
const fs = require('fs');
require('gltf-validator').validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


@pytest.fixture(scope="session")
def surface() -> HandSurface:
    return HandSurface((default_hand("left"), default_hand("right")))


@pytest.fixture(scope="session")
def pose() -> HandPose:
    """Both hands bent at random, 30 cm apart."""
    torch.manual_seed(0)
    pose = HandPose.rest(2)
    pose.local_rotations = 0.3 * torch.randn(2, 15, 3)
    pose.global_orient = torch.randn(2, 3)
    pose.translation = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]])
    return pose


@pytest.fixture(scope="session")
def smooth_color() -> Callable[[torch.Tensor], torch.Tensor]:
    """A colour that tells every place from its neighbours 5 cm away, yet changes little over a triangle."""
    return lambda points: 0.5 + 0.4 * torch.sin(20 * points + torch.tensor([0.0, 1.0, 2.0]))


@pytest.fixture(scope="session")
def mesh(surface, pose, smooth_color) -> TexturedMesh:
    part = visible_part(surface, pose, torch.zeros(10))
    return textured_mesh(part, lambda points, face, barycentric, normal: smooth_color(points), 512)


@pytest.fixture(scope="session")
def validate(repository) -> Callable[[bytes, Path], dict]:
    """Khronos's validator: from the bytes of a file and a folder to its report."""
    packages = repository / ".cache" / "npm" / "node_modules"
    if shutil.which("node") is None or not (packages / "gltf-validator").is_dir():
        pytest.skip(
            "the glTF validator is not there: install node, then npm install --prefix .cache/npm gltf-validator"
        )

    def run(content: bytes, folder: Path) -> dict:
        path = folder / "validated.glb"
        path.write_bytes(content)
        script = folder / "validate.js"
        script.write_text(VALIDATE.replace("'gltf-validator'", json.dumps(str(packages / "gltf-validator"))))
        result = subprocess.run(
            ["node", "-e", script.read_text(), str(path)], capture_output=True, text=True, check=True, timeout=60
        )
        return json.loads(result.stdout)

    return run
