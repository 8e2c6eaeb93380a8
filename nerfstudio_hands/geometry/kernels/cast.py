"""The first hit of a ray."""

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays, surface_of


@wp.kernel(enable_backward=False)
def cast_kernel(
    first: int,
    arrays: SurfaceArrays,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    max_distance: float,
    out_face: wp.array(dtype=wp.int64),
    out_barycentric: wp.array(dtype=wp.vec3),
    out_depth: wp.array(dtype=float),
):
    item = first + wp.tid()
    surface = surface_of(surfaces, item)
    query = wp.mesh_query_ray(arrays.meshes[surface], origins[item], directions[item], max_distance)
    if query.result:
        out_face[item] = wp.int64(query.face)
        out_barycentric[item] = wp.vec3(query.u, query.v, 1.0 - query.u - query.v)
        out_depth[item] = query.t
    else:
        out_face[item] = wp.int64(-1)
        out_barycentric[item] = wp.vec3(0.0)
        out_depth[item] = wp.inf
