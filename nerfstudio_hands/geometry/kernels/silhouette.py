"""The edge of a silhouette between two rays."""

# ruff: noqa: UP018 -- Warp takes `x = 0.0` for a constant; only `x = float(0.0)` makes a variable that a loop may change.

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays

MAX_FOLDS = wp.constant(8)
"""Folds of the surface between two rays after which the search is given up: a pixel of noise rather than a shape."""

MAX_WALK = wp.constant(512)
"""Faces walked over between two rays; half the ring of faces around a finger is far less."""

BEYOND = wp.constant(2.0e-3)
"""How far past a fold one looks for what is behind it, as part of the way from ray to ray; float32 resolves a tenth."""


@wp.func
def crossing(u: wp.vec3, v: wp.vec3, start: wp.vec3, step: wp.vec3) -> float:
    """The t at which the ray from zero along `start + t step` meets the line through u and v."""
    n = wp.cross(u, v - u)
    slope = wp.dot(n, step)
    if slope == 0.0:
        return 0.0
    return -wp.dot(n, start) / slope


@wp.kernel(enable_backward=False)
def silhouette_kernel(
    first: int,
    arrays: SurfaceArrays,
    neighbors: wp.array(dtype=wp.vec3i),
    surface: int,
    origins: wp.array(dtype=wp.vec3),
    starts: wp.array(dtype=wp.vec3),
    ends: wp.array(dtype=wp.vec3),
    start_faces: wp.array(dtype=wp.int64),
    end_is_empty: wp.array(dtype=wp.bool),
    out_edge: wp.array2d(dtype=wp.int64),
):
    item = first + wp.tid()
    out_edge[item, 0] = wp.int64(-1)
    out_edge[item, 1] = wp.int64(-1)
    origin = origins[item]
    start = starts[item]
    step = ends[item] - start
    # Which side of the plane of the two rays a vertex lies on is decided by this vector alone, the same for all faces
    # around it, so every face of the walk that is entered is also left.
    plane = wp.cross(start, step)
    face = int(start_faces[item])
    largest = float(0.0)
    for _ in range(MAX_FOLDS):
        # The edge by which the polygon leaves the first face towards the second ray.
        corners = arrays.faces[face]
        left = int(-1)
        right = int(-1)
        edge = int(-1)
        t = float(-wp.inf)
        for k in range(3):
            i = corners[k]
            j = corners[(k + 1) % 3]
            u = arrays.vertices[surface, i] - origin
            v = arrays.vertices[surface, j] - origin
            if (wp.dot(plane, u) >= 0.0) != (wp.dot(plane, v) >= 0.0):
                here = crossing(u, v, start, step)
                if here > t:
                    t = here
                    left = i
                    right = j
                    edge = k
        if edge < 0:
            break
        folded = bool(False)
        for _step in range(MAX_WALK):
            if t >= 1.0:
                break
            following = neighbors[face][edge]
            if following < 0:
                folded = True
                break
            corners = arrays.faces[following]
            apex = corners[0]
            corner = int(0)
            for k in range(1, 3):
                if corners[k] != left and corners[k] != right:
                    apex = corners[k]
                    corner = k
            p = arrays.vertices[surface, apex] - origin
            u = arrays.vertices[surface, left] - origin
            v = arrays.vertices[surface, right] - origin
            keep = left
            q = u
            if (wp.dot(plane, p) >= 0.0) == (wp.dot(plane, u) >= 0.0):
                keep = right
                q = v
            here = crossing(p, q, start, step)
            if here < t:
                folded = True
                break
            t = here
            edge = corner
            if corners[(corner + 1) % 3] != keep:
                edge = (corner + 2) % 3
            left = apex
            right = keep
            face = following
        if not folded or t < 0.0:
            break
        u = arrays.vertices[surface, left] - origin
        v = arrays.vertices[surface, right] - origin
        above = wp.dot(plane, u)
        below = wp.dot(plane, v)
        point = u + (v - u) * (above / (above - below))
        ray = start + t * step
        depth = wp.dot(point, ray) / wp.dot(ray, ray)
        query = wp.mesh_query_ray(arrays.meshes[surface], origin, start + (t + BEYOND) * step, wp.inf)
        if not query.result:
            out_edge[item, 0] = wp.int64(left)
            out_edge[item, 1] = wp.int64(right)
            break
        behind = query.t - depth
        if behind > largest and behind > depth * wp.length(step) and not end_is_empty[item]:
            largest = behind
            out_edge[item, 0] = wp.int64(left)
            out_edge[item, 1] = wp.int64(right)
        face = query.face
