"""The nearest point of one triangle, and the direction that is outward there."""

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays


@wp.func
def closest_on_triangle(ap: wp.vec3, ab: wp.vec3, ac: wp.vec3) -> wp.vec3:
    """Barycentric coordinates of the point nearest to p (Ericson, Real-Time Collision Detection, 5.1.5).

    All vectors start at corner a, so that float32 rounds to the size of the triangle instead of the size of the room.
    Coordinates of corners that take no part are exactly zero, which is how `pseudonormal` tells edges and vertices.
    """
    d1 = wp.dot(ab, ap)
    d2 = wp.dot(ac, ap)
    if d1 <= 0.0 and d2 <= 0.0:
        return wp.vec3(1.0, 0.0, 0.0)
    bp = ap - ab
    d3 = wp.dot(ab, bp)
    d4 = wp.dot(ac, bp)
    if d3 >= 0.0 and d4 <= d3:
        return wp.vec3(0.0, 1.0, 0.0)
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        v = d1 / (d1 - d3)
        return wp.vec3(1.0 - v, v, 0.0)
    cp = ap - ac
    d5 = wp.dot(ab, cp)
    d6 = wp.dot(ac, cp)
    if d6 >= 0.0 and d5 <= d6:
        return wp.vec3(0.0, 0.0, 1.0)
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        w = d2 / (d2 - d6)
        return wp.vec3(1.0 - w, 0.0, w)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return wp.vec3(0.0, 1.0 - w, w)
    return wp.vec3(va, vb, vc) / (va + vb + vc)


@wp.func
def pseudonormal(arrays: SurfaceArrays, surface: int, face: int, barycentric: wp.vec3) -> wp.vec3:
    """Unit normal of the face, edge or vertex on which the point with these barycentric coordinates lies."""
    for k in range(3):
        following = (k + 1) % 3
        opposite = (k + 2) % 3
        if barycentric[opposite] <= 0.0:
            if barycentric[following] <= 0.0:
                return arrays.vertex_normals[surface, arrays.faces[face][k]]
            if barycentric[k] > 0.0:
                return arrays.edge_normals[surface, arrays.face_edges[face][k]]
    return arrays.face_normals[surface, face]
