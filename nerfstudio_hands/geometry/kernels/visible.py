"""Which light from far away reaches vertices."""

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays


@wp.kernel(enable_backward=False)
def visible_cosine_kernel(
    first: int,
    arrays: SurfaceArrays,
    vertices: wp.array(dtype=wp.int64),
    normals: wp.array2d(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    lift: float,
    reach: float,
    blocked: bool,
    out_cosine: wp.array3d(dtype=float),
):
    """Cosine between a vertex's normal and a direction, zero where the surface is turned away from it, and where it is
    in the way, or, if `blocked`, where it is not."""
    item = first + wp.tid()
    number = directions.shape[0]
    direction = directions[item % number]
    row = item // number % vertices.shape[0]
    surface = item // number // vertices.shape[0]
    normal = normals[surface, row]
    cosine = wp.dot(normal, direction)
    found = wp.float32(0.0)
    if cosine > 0.0:
        start = arrays.vertices[surface, int(vertices[row])] + lift * normal
        if wp.mesh_query_ray_anyhit(arrays.meshes[surface], start, direction, reach) == blocked:
            found = cosine
    out_cosine[surface, row, item % number] = found
