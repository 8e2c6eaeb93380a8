"""Faces drawn into the depth buffer of a picture."""

import warp as wp

SEAM = wp.constant(1.0e-6)
"""Part of a face by which it is drawn larger than it is, so that no pixel falls between two by rounding."""

LAST_FACE = wp.constant(wp.int64(2**31 - 1))
"""The largest index that a face can have."""


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
    to_image: wp.mat33d,
    nearest: float,
    out_pixels: wp.array(dtype=wp.vec3d),
    out_rows: wp.array(dtype=float),
    out_too_near: wp.array(dtype=int),
):
    """Column and row, and one over depth, of the vertices of a surface; see `scan_kernel`.

    `to_image` turns places relative to the camera's center into multiples of a step to the right, of one down, and of
    the direction of the first pixel. `out_too_near` becomes one if a depth is below `nearest`, or no number.
    """
    vertex = first + wp.tid()
    place = vertices[surface, vertex]
    multiples = to_image * (wp.vec3d(wp.float64(place[0]), wp.float64(place[1]), wp.float64(place[2])) - origin)
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

    Pixel coordinates are columns and rows with centers at whole numbers; the third is one over depth, which like all
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
