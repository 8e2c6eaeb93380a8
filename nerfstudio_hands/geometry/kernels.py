"""Warp kernels of the surface query. The first parameter of each is the index of its first item, see `launch.py`."""

# ruff: noqa: UP018 -- Warp takes `x = 0.0` for a constant; only `x = float(0.0)` makes a variable that a loop may change.

import warp as wp

MAX_INTERVALS = wp.constant(8)
"""Parts of one ray inside the shell; a ray that meets more ends there, which takes five stacked fingers."""


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
def pseudonormal(
    face: int,
    surface: int,
    barycentric: wp.vec3,
    faces: wp.array(dtype=wp.vec3i),
    face_edges: wp.array(dtype=wp.vec3i),
    face_normals: wp.array2d(dtype=wp.vec3),
    edge_normals: wp.array2d(dtype=wp.vec3),
    vertex_normals: wp.array2d(dtype=wp.vec3),
) -> wp.vec3:
    """Unit normal of the face, edge or vertex on which the point with these barycentric coordinates lies."""
    for k in range(3):
        following = (k + 1) % 3
        opposite = (k + 2) % 3
        if barycentric[opposite] <= 0.0:
            if barycentric[following] <= 0.0:
                return vertex_normals[surface, faces[face][k]]
            if barycentric[k] > 0.0:
                return edge_normals[surface, face_edges[face][k]]
    return face_normals[surface, face]


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


@wp.kernel(enable_backward=False)
def closest_kernel(
    first: int,
    meshes: wp.array(dtype=wp.uint64),
    vertices: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    face_edges: wp.array(dtype=wp.vec3i),
    face_normals: wp.array2d(dtype=wp.vec3),
    edge_normals: wp.array2d(dtype=wp.vec3),
    vertex_normals: wp.array2d(dtype=wp.vec3),
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
    surface = int(0)
    if surfaces.shape[0] > 0:
        surface = int(surfaces[item])
    p = points[item]
    query = wp.mesh_query_point_no_sign(meshes[surface], p, max_distance)
    if not query.result:
        out_face[item] = wp.int64(-1)
        out_barycentric[item] = wp.vec3(0.0)
        out_point[item] = wp.vec3(0.0)
        out_distance[item] = wp.inf
        out_normal[item] = wp.vec3(0.0)
        return
    face = query.face
    corners = faces[face]
    a = vertices[surface, corners[0]]
    ab = vertices[surface, corners[1]] - a
    ac = vertices[surface, corners[2]] - a
    ap = p - a
    barycentric = closest_on_triangle(ap, ab, ac)
    local = barycentric[1] * ab + barycentric[2] * ac
    offset = ap - local
    normal = pseudonormal(face, surface, barycentric, faces, face_edges, face_normals, edge_normals, vertex_normals)
    distance = wp.length(offset)
    if wp.dot(offset, normal) < 0.0:
        distance = -distance
    out_face[item] = wp.int64(face)
    out_barycentric[item] = barycentric
    out_point[item] = a + local
    out_distance[item] = distance
    out_normal[item] = normal


@wp.kernel(enable_backward=False)
def cast_kernel(
    first: int,
    meshes: wp.array(dtype=wp.uint64),
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    max_distance: float,
    out_face: wp.array(dtype=wp.int64),
    out_barycentric: wp.array(dtype=wp.vec3),
    out_depth: wp.array(dtype=float),
):
    item = first + wp.tid()
    surface = int(0)
    if surfaces.shape[0] > 0:
        surface = int(surfaces[item])
    query = wp.mesh_query_ray(meshes[surface], origins[item], directions[item], max_distance)
    if query.result:
        out_face[item] = wp.int64(query.face)
        out_barycentric[item] = wp.vec3(query.u, query.v, 1.0 - query.u - query.v)
        out_depth[item] = query.t
    else:
        out_face[item] = wp.int64(-1)
        out_barycentric[item] = wp.vec3(0.0)
        out_depth[item] = wp.inf


@wp.kernel(enable_backward=False)
def march_kernel(
    first: int,
    meshes: wp.array(dtype=wp.uint64),
    vertices: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    face_edges: wp.array(dtype=wp.vec3i),
    face_normals: wp.array2d(dtype=wp.vec3),
    edge_normals: wp.array2d(dtype=wp.vec3),
    vertex_normals: wp.array2d(dtype=wp.vec3),
    lower: wp.array(dtype=wp.vec3),
    upper: wp.array(dtype=wp.vec3),
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    jitter: wp.array2d(dtype=float),
    shell: float,
    min_step: float,
    max_steps: int,
    num_samples: int,
    out_length: wp.array(dtype=float),
    out_depth: wp.array2d(dtype=float),
):
    item = first + wp.tid()
    surface = int(0)
    if surfaces.shape[0] > 0:
        surface = int(surfaces[item])
    mesh = meshes[surface]
    origin = origins[item]
    direction = directions[item]
    out_length[item] = 0.0

    # The part of the ray inside the box around the shell.
    near = float(0.0)
    far = float(wp.inf)
    for axis in range(3):
        low = lower[surface][axis] - shell - origin[axis]
        high = upper[surface][axis] + shell - origin[axis]
        slope = direction[axis]
        if wp.abs(slope) < 1.0e-12:
            if low > 0.0 or high < 0.0:
                far = -1.0
        else:
            near = wp.max(near, wp.min(low / slope, high / slope))
            far = wp.min(far, wp.max(low / slope, high / slope))
    if near > far:
        return

    begins = wp.vector(dtype=float, length=MAX_INTERVALS)
    ends = wp.vector(dtype=float, length=MAX_INTERVALS)
    count = int(0)
    inside = bool(False)
    begin = float(0.0)
    t = float(near)
    previous_t = float(near)
    # The nearest point of the previous step bounds the search of the next.
    previous = float(wp.inf)
    bound = float(wp.inf)
    for step in range(max_steps):
        p = origin + t * direction
        query = wp.mesh_query_point_no_sign(mesh, p, bound)
        if not query.result:
            break
        face = query.face
        corners = faces[face]
        a = vertices[surface, corners[0]]
        ab = vertices[surface, corners[1]] - a
        ac = vertices[surface, corners[2]] - a
        ap = p - a
        barycentric = closest_on_triangle(ap, ab, ac)
        offset = ap - barycentric[1] * ab - barycentric[2] * ac
        distance = wp.length(offset)
        if distance <= shell:
            if not inside:
                inside = True
                begin = t
                if step > 0 and previous > distance:
                    begin = previous_t + (t - previous_t) * (previous - shell) / (previous - distance)
        else:
            if inside:
                inside = False
                begins[count] = begin
                ends[count] = previous_t + (t - previous_t) * (shell - previous) / (distance - previous)
                count += 1
                if count == MAX_INTERVALS:
                    break
            # Inside the body beyond the shell all is opaque. Only here does the sign matter, and only where the ray
            # starts or has left the shell, but looking it up costs less than remembering which.
            normal = pseudonormal(
                face, surface, barycentric, faces, face_edges, face_normals, edge_normals, vertex_normals
            )
            if wp.dot(offset, normal) < 0.0:
                break
        if t >= far:
            break
        previous_t = t
        previous = distance
        t = wp.min(t + wp.max(wp.abs(distance - shell), min_step), far)
        bound = wp.length(offset + (t - previous_t) * direction) * 1.0001 + 1.0e-6
    if inside and count < MAX_INTERVALS:
        begins[count] = begin
        ends[count] = t
        count += 1

    total = float(0.0)
    for k in range(count):
        total += ends[k] - begins[k]
    if total <= 0.0:
        return
    out_length[item] = total
    current = int(0)
    passed = float(0.0)
    for i in range(num_samples):
        position = float(0.5)
        if jitter.shape[0] > 0:
            position = jitter[item, i]
        position = (float(i) + position) * total / float(num_samples) - passed
        while current < count - 1 and position > ends[current] - begins[current]:
            length = ends[current] - begins[current]
            position -= length
            passed += length
            current += 1
        out_depth[item, i] = begins[current] + wp.min(position, ends[current] - begins[current])
