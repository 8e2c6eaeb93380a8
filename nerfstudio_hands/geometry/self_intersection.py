"""Where a mesh runs through itself."""

# ruff: noqa: UP018 -- Warp takes `x = 0` for a constant; only `x = int(0)` makes a variable that a loop may change.

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.launch import as_array, launch, torch_stream


@torch.no_grad()
def intersecting_faces(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Int[Tensor, "P 2"]:
    """Pairs of faces that run through each other and share no vertex.

    Two faces do when an edge of one pierces the other; overlap within one plane and mere touch are not looked for.
    Candidates come from Warp's bounding volume hierarchy, in float32.

    Args:
        vertices: Positions; where two faces should share a vertex they must name the same one.
        faces: Vertex indices.

    Returns:
        Face indices, the smaller first, sorted; each pair once.
    """
    positions = vertices.detach().float().contiguous()
    corners = faces.to(torch.int32).contiguous()
    if len(corners) == 0:
        return faces.new_zeros(0, 2, dtype=torch.int64)
    points, indices = as_array(positions, wp.vec3), as_array(corners, wp.vec3i)
    with torch_stream(positions.device):
        mesh = wp.Mesh(points, as_array(corners.reshape(-1), wp.int32))
    device = positions.device
    every = torch.arange(len(corners), dtype=torch.int32, device=device)
    count = torch.zeros_like(every)
    # The first pass counts the partners of each face, the second writes them down for the few faces that have any.
    nothing = torch.zeros(0, 2, dtype=torch.int32, device=device)
    _search(mesh, points, indices, every, count, every, nothing)
    hit = count.nonzero()[:, 0].int()
    ends = count[hit].cumsum(0)
    pairs = torch.zeros(int(ends[-1]) if len(hit) else 0, 2, dtype=torch.int32, device=device)
    _search(mesh, points, indices, hit, count, (ends - count[hit]).int(), pairs)
    return torch.unique(pairs.long(), dim=0)


def _search(
    mesh: wp.Mesh, points: wp.array, indices: wp.array, chosen: Tensor, count: Tensor, starts: Tensor, pairs: Tensor
) -> None:
    arrays = [as_array(tensor, wp.int32) for tensor in (chosen, count, starts)]
    launch(
        _partners_kernel,
        len(chosen),
        [wp.uint64(mesh.id), points, indices, *arrays, as_array(pairs, wp.vec2i)],
        chunk=512,
    )


@wp.func
def _pierces(p: wp.vec3, q: wp.vec3, a: wp.vec3, b: wp.vec3, c: wp.vec3) -> bool:
    """The segment from p to q passes through the triangle, by the signs of volumes: no tolerance, hence no scale."""
    pa = a - p
    pb = b - p
    pc = c - p
    normal = wp.cross(b - a, c - a)
    if (wp.dot(pa, normal) > 0.0) == (wp.dot(a - q, normal) > 0.0):
        return False
    along = q - p
    u = wp.dot(along, wp.cross(pa, pb))
    v = wp.dot(along, wp.cross(pb, pc))
    w = wp.dot(along, wp.cross(pc, pa))
    return (u >= 0.0 and v >= 0.0 and w >= 0.0) or (u <= 0.0 and v <= 0.0 and w <= 0.0)


@wp.kernel(enable_backward=False)
def _partners_kernel(
    first: int,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    chosen: wp.array(dtype=int),
    count: wp.array(dtype=int),
    starts: wp.array(dtype=int),
    pairs: wp.array(dtype=wp.vec2i),
):
    item = first + wp.tid()  # pyright: ignore[reportOperatorIssue]
    face = chosen[item]
    i = faces[face]
    a = points[i[0]]
    b = points[i[1]]
    c = points[i[2]]
    query = wp.mesh_query_aabb(mesh, wp.min(a, wp.min(b, c)), wp.max(a, wp.max(b, c)))  # pyright: ignore[reportArgumentType]
    other = int(0)
    found = int(0)
    while wp.mesh_query_aabb_next(query, other):
        if other <= face:
            continue
        j = faces[other]
        shared = bool(False)
        for k in range(3):
            if j[k] == i[0] or j[k] == i[1] or j[k] == i[2]:
                shared = True
        if shared:
            continue
        d = points[j[0]]
        e = points[j[1]]
        f = points[j[2]]
        if (
            _pierces(a, b, d, e, f)
            or _pierces(b, c, d, e, f)
            or _pierces(c, a, d, e, f)
            or _pierces(d, e, a, b, c)
            or _pierces(e, f, a, b, c)
            or _pierces(f, d, a, b, c)
        ):
            if pairs.shape[0] > 0:
                pairs[starts[item] + found] = wp.vec2i(face, other)
            found += 1
    count[face] = found
