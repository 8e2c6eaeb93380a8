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
def inside_kernel(
    first: int,
    meshes: wp.array(dtype=wp.uint64),
    points: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    out_inside: wp.array(dtype=wp.bool),
):
    item = first + wp.tid()
    surface = int(0)
    if surfaces.shape[0] > 0:
        surface = int(surfaces[item])
    query = wp.mesh_query_point_sign_winding_number(meshes[surface], points[item], wp.inf)
    out_inside[item] = query.sign < 0.0


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


MAX_FOLDS = wp.constant(8)
"""Folds of the surface between two rays after which the outline is given up: a pixel of noise rather than a shape."""

MAX_WALK = wp.constant(512)
"""Faces walked over between two rays; half the ring of faces around a finger is far less."""

BEYOND = wp.constant(2.0e-3)
"""How far past a fold one looks for what is behind it, as part of the way from ray to ray; float32 resolves a tenth."""

SEAM = wp.constant(1.0e-6)
"""Part of a face by which it is drawn larger than it is, so that no pixel falls between two by rounding."""

LAST_FACE = wp.constant(wp.int64(2**31 - 1))
"""The largest index that a face can have."""


@wp.func
def crossing(u: wp.vec3, v: wp.vec3, start: wp.vec3, step: wp.vec3) -> float:
    """The t at which the ray from zero along `start + t step` meets the line through u and v."""
    n = wp.cross(u, v - u)
    slope = wp.dot(n, step)
    if slope == 0.0:
        return 0.0
    return -wp.dot(n, start) / slope


@wp.kernel(enable_backward=False)
def outline_kernel(
    first: int,
    meshes: wp.array(dtype=wp.uint64),
    vertices: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
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
        corners = faces[face]
        left = int(-1)
        right = int(-1)
        edge = int(-1)
        t = float(-wp.inf)
        for k in range(3):
            i = corners[k]
            j = corners[(k + 1) % 3]
            u = vertices[surface, i] - origin
            v = vertices[surface, j] - origin
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
            following = neighbours[face][edge]
            if following < 0:
                folded = True
                break
            corners = faces[following]
            apex = corners[0]
            corner = int(0)
            for k in range(1, 3):
                if corners[k] != left and corners[k] != right:
                    apex = corners[k]
                    corner = k
            p = vertices[surface, apex] - origin
            u = vertices[surface, left] - origin
            v = vertices[surface, right] - origin
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
        u = vertices[surface, left] - origin
        v = vertices[surface, right] - origin
        above = wp.dot(plane, u)
        below = wp.dot(plane, v)
        point = u + (v - u) * (above / (above - below))
        ray = start + t * step
        depth = wp.dot(point, ray) / wp.dot(ray, ray)
        query = wp.mesh_query_ray(meshes[surface], origin, start + (t + BEYOND) * step, wp.inf)
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


@wp.func
def doubled_area(a: wp.vec3d, b: wp.vec3d, c: wp.vec3d):
    """Twice the area of a triangle in a picture, negative where its corners are clockwise."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@wp.func
def weights_at(column: int, row: int, a: wp.vec3d, b: wp.vec3d, c: wp.vec3d, area: wp.float64):
    """Barycentric coordinates of a pixel in a triangle of a picture with that doubled area."""
    here = wp.vec3d(wp.float64(column), wp.float64(row), wp.float64(0.0))
    inverse = wp.float64(1.0) / area
    v = doubled_area(a, here, c) * inverse
    w = doubled_area(a, b, here) * inverse
    return wp.vec3d(wp.float64(1.0) - v - w, v, w)


@wp.kernel(enable_backward=False)
def project_kernel(
    first: int,
    surface: int,
    vertices: wp.array2d(dtype=wp.vec3),
    origin: wp.vec3d,
    to_picture: wp.mat33d,
    nearest: float,
    out_pixels: wp.array(dtype=wp.vec3d),
    out_rows: wp.array(dtype=float),
    out_too_near: wp.array(dtype=int),
):
    """Column and row, and one over depth, of the vertices of a surface; see `scan_kernel`.

    `to_picture` turns places relative to the camera's centre into multiples of a step to the right, of one down, and of
    the direction of the first pixel. `out_too_near` becomes one if a depth is below `nearest`, or no number.
    """
    vertex = first + wp.tid()
    place = vertices[surface, vertex]
    multiples = to_picture * (wp.vec3d(wp.float64(place[0]), wp.float64(place[1]), wp.float64(place[2])) - origin)
    if not (multiples[2] >= wp.float64(nearest)):
        out_too_near[0] = 1
    near = wp.float64(1.0) / multiples[2]
    out_pixels[vertex] = wp.vec3d(multiples[0] * near, multiples[1] * near, near)
    out_rows[vertex] = float(multiples[1] * near)


@wp.kernel(enable_backward=False)
def scan_kernel(
    band: int,
    edges: wp.array(dtype=int),
    rows: wp.array(dtype=float),
    pixels: wp.array(dtype=wp.vec3d),
    faces: wp.array(dtype=wp.vec3i),
    directions: wp.array2d(dtype=wp.vec3),
    nearest: wp.array2d(dtype=wp.int64),
    out_face: wp.array2d(dtype=wp.int64),
    out_barycentric: wp.array2d(dtype=wp.vec3),
    out_z_depth: wp.array2d(dtype=float),
    out_ray_depth: wp.array2d(dtype=float),
):
    """A band of a picture, rows from `edges` of it to those of the next: every face is drawn, the nearest one stays.

    Pixel coordinates are columns and rows with centres at whole numbers; the third is one over depth, which like all
    that lies on a plane is affine in them. `rows` has the second alone, by which the faces of other bands are passed
    over. `nearest`, for this kernel to work in, holds the bits of the largest third coordinate so far (the bits of
    positive numbers are in the order of the numbers) above what is left of `LAST_FACE` when the face is taken away: its
    maximum is found without a branch, which a processor could not foresee for faces of a few pixels.
    """
    top = edges[band + wp.tid()]
    bottom = edges[band + wp.tid() + 1] - 1
    width = out_face.shape[1]
    for row in range(top, bottom + 1):
        for column in range(width):
            nearest[row, column] = wp.int64(0)
    for face in range(faces.shape[0]):
        corners = faces[face]
        row_a = rows[corners[0]]
        row_b = rows[corners[1]]
        row_c = rows[corners[2]]
        above = wp.max(row_a, wp.max(row_b, row_c)) < float(top - 1)
        if above or wp.min(row_a, wp.min(row_b, row_c)) > float(bottom + 1):
            continue
        a = pixels[corners[0]]
        b = pixels[corners[1]]
        c = pixels[corners[2]]
        # Limited while they are no integers, which could not hold what lies far beside the picture.
        left = int(wp.ceil(wp.max(wp.min(a[0], wp.min(b[0], c[0])), wp.float64(0.0))))
        low = int(wp.ceil(wp.max(wp.min(a[1], wp.min(b[1], c[1])), wp.float64(top))))
        right = int(wp.floor(wp.min(wp.max(a[0], wp.max(b[0], c[0])), wp.float64(width - 1))))
        high = int(wp.floor(wp.min(wp.max(a[1], wp.max(b[1], c[1])), wp.float64(bottom))))
        if left > right or low > high:
            continue
        area = doubled_area(a, b, c)
        if area == wp.float64(0.0):
            continue
        # The weights of corners b and c at the first pixel, and how they change from column to column and row to row.
        first = weights_at(left, low, a, b, c, area)
        inverse = wp.float64(1.0) / area
        v_first = float(first[1])
        w_first = float(first[2])
        v_right = float((c[1] - a[1]) * inverse)
        v_down = float((a[0] - c[0]) * inverse)
        w_right = float((a[1] - b[1]) * inverse)
        w_down = float((b[0] - a[0]) * inverse)
        near_a = float(a[2])
        near_b = float(b[2])
        near_c = float(c[2])
        place = LAST_FACE - wp.int64(face)
        for row in range(low, high + 1):
            v_row = v_first + v_down * float(row - low)
            w_row = w_first + w_down * float(row - low)
            for column in range(left, right + 1):
                v = v_row + v_right * float(column - left)
                w = w_row + w_right * float(column - left)
                u = 1.0 - v - w
                inside = wp.min(u, wp.min(v, w)) >= -SEAM
                near = wp.where(inside, u * near_a + v * near_b + w * near_c, 0.0)
                bits = wp.int64(wp.cast(near, wp.int32)) << wp.int64(32)
                nearest[row, column] = wp.max(nearest[row, column], bits | place)

    for row in range(top, bottom + 1):
        for column in range(width):
            found = nearest[row, column]
            if found >> wp.int64(32) == wp.int64(0):
                out_face[row, column] = wp.int64(-1)
                out_barycentric[row, column] = wp.vec3(0.0)
                out_z_depth[row, column] = wp.inf
                out_ray_depth[row, column] = wp.inf
                continue
            seen = LAST_FACE - (found & LAST_FACE)
            corners = faces[int(seen)]
            a = pixels[corners[0]]
            b = pixels[corners[1]]
            c = pixels[corners[2]]
            at = weights_at(column, row, a, b, c, doubled_area(a, b, c))
            weights = wp.vec3d(at[0] * a[2], at[1] * b[2], at[2] * c[2])
            depth = wp.float64(1.0) / (weights[0] + weights[1] + weights[2])
            out_face[row, column] = seen
            out_barycentric[row, column] = wp.vec3(weights * depth)
            out_z_depth[row, column] = float(depth)
            out_ray_depth[row, column] = float(depth) * wp.length(directions[row, column])
