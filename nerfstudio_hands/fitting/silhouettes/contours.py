"""Outlines of masks and of projected hands, how they are matched, and the distance between them.

Both outlines are point sets with outward normals in full-resolution pixels. A point of one matches the nearest point
of the other whose normal agrees, within a radius: this keeps fingertips apart, and leaves unmatched what the other
side cannot show (the forearm, holes of a mask, a finger in front of a palm).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from nerfstudio_hands.geometry.topology import Topology
from nerfstudio_hands.transforms.projection import project

# Contours shorter than this share of the picture's diagonal are specks and pin holes.
SHORTEST_CONTOUR = 0.02
# A mask's staircase has no useful normals; this blur (pixels) takes them from the shape a few pixels around.
NORMAL_BLUR = 2.0
BORDER = 3
# cv2.fillPoly takes fixed-point coordinates with this many fractional bits.
SUBPIXEL_BITS = 4


@dataclass
class MaskBoundary:
    """Boundary of a mask.

    Attributes:
        points: Pixels; the centre of the upper left pixel is (0.5, 0.5).
        normals: Unit, out of the mask.
    """

    points: Float[np.ndarray, "P 2"]
    normals: Float[np.ndarray, "P 2"]


@dataclass
class ProjectedSilhouette:
    """Where the outline of posed hands lies in a picture, tied to the mesh.

    Attributes:
        points: Pixels.
        normals: Unit, out of the hand.
        ends: The two vertices of the mesh edge that each point lies on.
        fraction: Position along that edge, 0 at the first vertex.
        is_hand: False at the wrist, where the picture shows the forearm.
        silhouette: Filled projection.
    """

    points: Float[np.ndarray, "Q 2"]
    normals: Float[np.ndarray, "Q 2"]
    ends: Int[np.ndarray, "Q 2"]
    fraction: Float[np.ndarray, " Q"]
    is_hand: Bool[np.ndarray, " Q"]
    silhouette: Bool[np.ndarray, "H W"]


@dataclass
class SilhouetteMesh:
    """What `projected_silhouette` needs to know of a closed mesh: its edges with the two faces of each.

    Attributes:
        faces: With the closing faces.
        edges: Vertices of each edge.
        edge_faces: The two faces of each edge.
        edge_is_hand: Whether the picture shows a boundary of the hand there, not the forearm.
    """

    faces: Int[np.ndarray, "F 3"]
    edges: Int[np.ndarray, "E 2"]
    edge_faces: Int[np.ndarray, "E 2"]
    edge_is_hand: Bool[np.ndarray, " E"]

    @staticmethod
    def from_faces(
        faces: Int[np.ndarray, "F 3"], closing_faces: Int[np.ndarray, "C 3"], vertex_is_hand: Bool[np.ndarray, " V"]
    ) -> SilhouetteMesh:
        """Edges of a mesh that is closed by `closing_faces`; edges with other than two faces are left out."""
        every = np.concatenate([faces, closing_faces]).astype(np.int64)
        topology = Topology(torch.from_numpy(every))
        edges = topology.edges[topology.num_edge_faces == 2].numpy()
        return SilhouetteMesh(every, edges, topology.face_pairs.numpy(), vertex_is_hand[edges].all(1))  # pyright: ignore[reportArgumentType]


def mask_boundary(mask: Bool[np.ndarray, "H W"]) -> MaskBoundary:
    """Boundary of a mask with sub-pixel positions, without specks and without what the picture's edge cuts off."""
    height, width = mask.shape
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), NORMAL_BLUR)
    gradient = np.stack(
        [cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)], -1
    )
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    shortest = SHORTEST_CONTOUR * np.hypot(width, height)
    pixels = np.concatenate([np.zeros((0, 2), np.int64)] + [c[:, 0] for c in contours if len(c) >= shortest])
    inside = ((pixels >= BORDER) & (pixels < [width - BORDER, height - BORDER])).all(1)
    x, y = pixels[inside].T
    slope = gradient[y, x]
    size = np.linalg.norm(slope, axis=1, keepdims=True)
    x, y, slope, size = x[size[:, 0] > 1e-3], y[size[:, 0] > 1e-3], slope[size[:, 0] > 1e-3], size[size[:, 0] > 1e-3]
    normals = -slope / size
    # One Newton step from the boundary pixel's centre to where the blurred mask crosses one half.
    step = np.clip((soft[y, x, None] - 0.5) / size, -1.5, 1.5)
    return MaskBoundary(np.stack([x, y], 1) + 0.5 + step * normals, normals)


def away_from(outline: MaskBoundary, hidden: Bool[np.ndarray, "H W"] | None) -> MaskBoundary:
    """The outline without what borders on an object: there the mask ends, the hand goes on behind."""
    if hidden is None or not len(outline.points):
        return outline
    near = cv2.dilate(hidden.astype(np.uint8), np.ones((2 * BORDER + 1,) * 2, np.uint8)) > 0
    column, row = np.clip(outline.points.astype(int), 0, np.array(hidden.shape[::-1]) - 1).T
    kept = ~near[row, column]
    return MaskBoundary(outline.points[kept], outline.normals[kept])


def projected_silhouette(
    mesh: SilhouetteMesh,
    vertices: Float[np.ndarray, "V 3"],
    vertex_normals: Float[np.ndarray, "V 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    world_to_camera: Float[np.ndarray, "4 4"],
    size: tuple[int, int],
    *,
    spacing: float = 2.0,
) -> ProjectedSilhouette:
    """Outer boundary of the projected hands (both together), including gaps between fingers.

    An edge of the mesh belongs to an occluding contour where one of its faces looks at the camera and the other looks
    away; of these, the points on the boundary of the filled projection are kept.

    Args:
        mesh: Closed mesh.
        vertices: World frame, metres; a hand behind the camera or far away contributes nothing.
        vertex_normals: Unit, outward. Their projections serve as smooth outline normals.
        intrinsics: K, pixels.
        world_to_camera: Extrinsics, OpenCV axes.
        size: Width and height, pixels.
        spacing: Distance between points along edges, pixels.
    """
    width, height = size
    pixels, depth = project(vertices, intrinsics, world_to_camera)
    near = (depth > 0.05) & (np.abs(pixels) < 4 * max(size)).all(1)
    usable = near[mesh.faces].all(1)
    corners = pixels[mesh.faces]
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # With y down, a face wound counter-clockwise as seen from outside turns clockwise in the picture: negative area.
    front = (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] < 0) & usable

    silhouette = np.zeros((height, width), np.uint8)
    # Pixel (0, 0) of OpenCV has its centre at 0.5 of ours.
    fixed = np.round((corners[front] - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    for triangle in fixed:
        cv2.fillConvexPoly(silhouette, triangle, (1,), lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)

    first, second = mesh.edge_faces.T
    contour = (front[first] != front[second]) & usable[first] & usable[second]  # pyright: ignore[reportIndexIssue]
    ends, is_hand = mesh.edges[contour], mesh.edge_is_hand[contour]
    length = np.linalg.norm(pixels[ends[:, 1]] - pixels[ends[:, 0]], axis=1)
    count = np.maximum(1, np.round(length / spacing)).astype(int)
    index = np.repeat(np.arange(len(ends)), count)
    fraction = (np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[index]
    ends, is_hand = ends[index], is_hand[index]
    points = pixels[ends[:, 0]] * (1 - fraction[:, None]) + pixels[ends[:, 1]] * fraction[:, None]

    # fillConvexPoly covers every touched pixel, so the boundary of the fill lies up to a pixel outside of the edge.
    deep = cv2.erode(np.pad(silhouette, 1), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    column, row = np.floor(points).astype(int).T
    visible = (column >= BORDER) & (row >= BORDER) & (column < width - BORDER) & (row < height - BORDER)
    visible[visible] = deep[row[visible], column[visible]] == 0
    points, ends, fraction, is_hand = points[visible], ends[visible], fraction[visible], is_hand[visible]

    normals = vertex_normals[ends[:, 0]] * (1 - fraction[:, None]) + vertex_normals[ends[:, 1]] * fraction[:, None]
    normals = (normals @ world_to_camera[:3, :3].T)[:, :2]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    return ProjectedSilhouette(points, normals, ends, fraction, is_hand, silhouette.astype(bool))


def match_contours(
    points: Float[np.ndarray, "P 2"],
    normals: Float[np.ndarray, "P 2"],
    target_points: Float[np.ndarray, "Q 2"],
    target_normals: Float[np.ndarray, "Q 2"],
    *,
    radius: float,
    agreement: float = 0.7,
) -> Int[np.ndarray, " P"]:
    """For each point the target that is nearest in position and normal together, or -1.

    Args:
        points: Pixels.
        normals: Unit.
        target_points: Pixels.
        target_normals: Unit.
        radius: Largest distance, pixels. Opposite normals count as far as this.
        agreement: Smallest cosine between the normals.
    """
    if len(points) == 0 or len(target_points) == 0:
        return np.full(len(points), -1)
    tree = KDTree(np.concatenate([target_points, 0.5 * radius * target_normals], 1))
    _, index = tree.query(np.concatenate([points, 0.5 * radius * normals], 1))
    distance = np.linalg.norm(target_points[index] - points, axis=1)
    cosine = (target_normals[index] * normals).sum(1)
    return np.where((distance <= radius) & (cosine >= agreement), index, -1)


@dataclass
class ContourDistance:
    """How far two outlines are apart.

    Attributes:
        projected_to_mask: Mean over the matched points of the projected outline of the distance to the nearest mask
            outline point, pixels.
        mask_to_projected: The same from the mask's outline.
        mean: Mean of both, each point counted once.
        matched: Share of the projected outline (without the wrist's rim) that found a partner.
    """

    projected_to_mask: float
    mask_to_projected: float
    mean: float
    matched: float


def contour_distance(projected: ProjectedSilhouette, mask: MaskBoundary, *, radius: float = 15.0) -> ContourDistance:
    """Mean distance between the outline of projected hands and that of a mask, forearm excluded.

    Each point's distance is the Euclidean one to the nearest point of the other outline whose normal agrees to within
    about 45 degrees; it counts if that is inside `radius`. The forearm is left out because the rim of the wrist takes
    part as a partner but is not counted, and because beyond it no partner is near.

    Args:
        projected: Outline of the posed hands.
        mask: Outline of the mask at the same resolution.
        radius: Pixels; large against the distances that are measured, so that misfits count.

    Returns:
        Means in pixels, NaN where nothing matched.
    """
    there, _ = _nearest_agreeing(projected.points, projected.normals, mask.points, mask.normals)
    back, index = _nearest_agreeing(mask.points, mask.normals, projected.points, projected.normals)
    there = there[projected.is_hand]
    matched = there <= radius
    back = back[(back <= radius) & projected.is_hand[index]] if len(projected.points) else back[:0]
    both = np.concatenate([there[matched], back])
    return ContourDistance(
        projected_to_mask=float(there[matched].mean()) if matched.any() else float("nan"),
        mask_to_projected=float(back.mean()) if len(back) else float("nan"),
        mean=float(both.mean()) if len(both) else float("nan"),
        matched=float(matched.mean()) if len(matched) else 0.0,
    )


def _nearest_agreeing(
    points: np.ndarray, normals: np.ndarray, target_points: np.ndarray, target_normals: np.ndarray, sectors: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Distance [P] to the nearest target whose normal agrees to within about 45 degrees (infinite without), and its
    index [P].

    Normals are sorted into sectors of 30 degrees, each with a tree of the targets within 45 degrees of its middle.
    """
    distance, index = np.full(len(points), np.inf), np.zeros(len(points), int)
    angle = np.arctan2(normals[:, 1], normals[:, 0])
    sector = np.round(angle / (2 * np.pi) * sectors).astype(int) % sectors
    for k in range(sectors):
        middle = 2 * np.pi * k / sectors
        chosen = np.flatnonzero(sector == k)
        candidates = np.flatnonzero(target_normals @ [np.cos(middle), np.sin(middle)] >= np.cos(np.pi / 4))
        if len(chosen) and len(candidates):
            distance[chosen], nearest = KDTree(target_points[candidates]).query(points[chosen])
            index[chosen] = candidates[nearest]
    return distance, index
