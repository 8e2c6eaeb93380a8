"""The nearest point of a surface, and whether a point is inside."""

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays, surface_of
from nerfstudio_hands.geometry.kernels.triangle import closest_on_triangle, pseudonormal


@wp.kernel(enable_backward=False)
def closest_kernel(
    first: int,
    arrays: SurfaceArrays,
    points: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    max_distance: float,
    out_face: wp.array(dtype=wp.int64),
    out_barycentric: wp.array(dtype=wp.vec3),
    out_point: wp.array(dtype=wp.vec3),
    out_distance: wp.array(dtype=float),
    out_normal: wp.array(dtype=wp.vec3),
):
    item = first + wp.tid()
    surface = surface_of(surfaces, item)
    p = points[item]
    query = wp.mesh_query_point_no_sign(arrays.meshes[surface], p, max_distance)
    if not query.result:
        out_face[item] = wp.int64(-1)
        out_barycentric[item] = wp.vec3(0.0)
        out_point[item] = wp.vec3(0.0)
        out_distance[item] = wp.inf
        out_normal[item] = wp.vec3(0.0)
        return
    face = query.face
    corners = arrays.faces[face]
    a = arrays.vertices[surface, corners[0]]
    ab = arrays.vertices[surface, corners[1]] - a
    ac = arrays.vertices[surface, corners[2]] - a
    ap = p - a
    barycentric = closest_on_triangle(ap, ab, ac)
    local = barycentric[1] * ab + barycentric[2] * ac
    offset = ap - local
    normal = pseudonormal(arrays, surface, face, barycentric)
    distance = wp.length(offset)
    if wp.dot(offset, normal) < 0.0:
        distance = -distance
    out_face[item] = wp.int64(face)
    out_barycentric[item] = barycentric
    out_point[item] = a + local
    out_distance[item] = distance
    out_normal[item] = normal


@wp.kernel(enable_backward=False)
def inside_kernel(
    first: int,
    meshes: wp.array(dtype=wp.uint64),
    points: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    out_inside: wp.array(dtype=wp.bool),
):
    item = first + wp.tid()
    surface = surface_of(surfaces, item)
    query = wp.mesh_query_point_sign_winding_number(meshes[surface], points[item], wp.inf)
    out_inside[item] = query.sign < 0.0
