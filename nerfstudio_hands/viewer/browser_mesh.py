"""The avatar as a mesh in its own colors, which a browser draws and turns by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from nerfstudio_hands.files.glb import GlbBuilder
from nerfstudio_hands.geometry.subdivision import loop_subdivision, subdivide_corners
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.transforms.color import srgb_to_linear

FEW_VERTICES = 10_000
"""Of the hands together: fewer say too little of the colors, and points in the middles of edges are asked as well."""


class BrowserMesh:
    """The surface of the hands with a color at each vertex.

    Args:
        hands: That are posed.
        source: What the model says of colors.
    """

    def __init__(self, hands: PosedHands, source: Callable[[], ExportSource]) -> None:
        self._hands, self._source = hands, source
        coarse, count = hands.surface.faces, hands.surface.num_vertices
        levels = int(count < FEW_VERTICES)
        fine, _ = loop_subdivision(coarse, count, levels)
        places = subdivide_corners(torch.eye(3, device=coarse.device).expand(len(coarse), 3, 3), levels).reshape(-1, 3)
        # Any corner that a vertex is of says where it lies.
        corners = torch.arange(fine.numel(), device=coarse.device)
        corner = corners.new_zeros(int(fine.max()) + 1).scatter(0, fine.flatten().long(), corners)
        self._face, self._barycentric = (corner // 3) % len(coarse), places[corner]
        self._faces = fine.cpu().numpy()

    @torch.no_grad()
    def glb(self, pose: HandPose) -> bytes:
        """The hands in a pose [1, H, ...] of the capture's world; meters of nerfstudio's world, colors as they are."""
        posed = self._hands.at_pose(pose)
        face, barycentric = self._face, self._barycentric
        at = (torch.zeros_like(face), face, barycentric)
        points = posed.interpolate(posed.surfaces.vertices, *at)
        normals = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        colors = srgb_to_linear(self._source().colors(pose)(points, face, barycentric, normals))
        builder = GlbBuilder()
        positions, directions, linear = (values.cpu().numpy() for values in (points, normals, colors))
        primitive = builder.add_primitive(
            positions=positions,
            normals=directions,
            faces=self._faces,
            material=builder.add_skin_material(None),
            colors=linear,
        )
        builder.add_root(builder.add("nodes", {"mesh": builder.add("meshes", {"primitives": [primitive]})}))
        return builder.to_bytes()
