"""Unit normals of faces, edges and vertices, of which the pseudonormals are."""

import warp as wp


@wp.kernel(enable_backward=False)
def face_normals_kernel(
    first: int,
    num_faces: int,
    vertices: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    face_normals: wp.array2d(dtype=wp.vec3),
):
    item = first + wp.tid()
    surface = item // num_faces
    face = item % num_faces
    corners = faces[face]
    a = vertices[surface, corners[0]]
    face_normals[surface, face] = wp.normalize(
        wp.cross(vertices[surface, corners[1]] - a, vertices[surface, corners[2]] - a)
    )


@wp.kernel(enable_backward=False)
def edge_normals_kernel(
    first: int,
    num_edges: int,
    starts: wp.array(dtype=int),
    incident: wp.array(dtype=int),
    face_normals: wp.array2d(dtype=wp.vec3),
    edge_normals: wp.array2d(dtype=wp.vec3),
):
    item = first + wp.tid()
    surface = item // num_edges
    edge = item % num_edges
    total = wp.vec3(0.0)
    for k in range(starts[edge], starts[edge + 1]):
        total += face_normals[surface, incident[k]]
    edge_normals[surface, edge] = wp.normalize(total)


@wp.kernel(enable_backward=False)
def vertex_normals_kernel(
    first: int,
    num_vertices: int,
    vertices: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    starts: wp.array(dtype=int),
    incident: wp.array(dtype=int),
    face_normals: wp.array2d(dtype=wp.vec3),
    vertex_normals: wp.array2d(dtype=wp.vec3),
):
    item = first + wp.tid()
    surface = item // num_vertices
    vertex = item % num_vertices
    total = wp.vec3(0.0)
    apex = vertices[surface, vertex]
    for k in range(starts[vertex], starts[vertex + 1]):
        face = incident[k]
        corners = faces[face]
        left = corners[1]
        right = corners[2]
        if corners[1] == vertex:
            left = corners[2]
            right = corners[0]
        elif corners[2] == vertex:
            left = corners[0]
            right = corners[1]
        p = vertices[surface, left] - apex
        q = vertices[surface, right] - apex
        # The angle between the edges weighs the normal.
        total += wp.atan2(wp.length(wp.cross(p, q)), wp.dot(p, q)) * face_normals[surface, face]
    vertex_normals[surface, vertex] = wp.normalize(total)
