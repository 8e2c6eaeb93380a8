"""Faces with a color at each vertex drawn into a small picture, several samples a pixel."""

import warp as wp

NEAREST = wp.constant(0.03)
"""Meters before the camera from which on faces are drawn."""

SEAM = wp.constant(1.0e-5)
"""Part of a face by which it is drawn larger than it is."""


@wp.func
def doubled_area(a: wp.vec3, b: wp.vec3, c: wp.vec3):
    """Twice the area of a triangle in a picture, with its sign."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@wp.kernel(enable_backward=False)
def draw_colors_kernel(
    first: int,
    samples: int,
    pixels: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    labels: wp.array(dtype=int),
    colors: wp.array(dtype=wp.vec3),
    near: wp.array2d(dtype=float),
    seen: wp.array2d(dtype=int),
    out_color: wp.array2d(dtype=wp.vec3),
    out_coverage: wp.array3d(dtype=float),
):
    """Draws a whole picture, launched once; `out_coverage` has one layer a label.

    `pixels` are column and row in samples, whole numbers at the samples' centers, and depth in meters. `near` and
    `seen` are there to work in, one entry a sample.
    """
    height = near.shape[0]
    width = near.shape[1]
    for row in range(height):
        for column in range(width):
            near[row, column] = 0.0
            seen[row, column] = -1
    for face in range(faces.shape[0]):
        corners = faces[face]
        a = pixels[corners[0]]
        b = pixels[corners[1]]
        c = pixels[corners[2]]
        if wp.min(a[2], wp.min(b[2], c[2])) < NEAREST:
            continue
        left = int(wp.ceil(wp.clamp(wp.min(a[0], wp.min(b[0], c[0])), 0.0, float(width))))
        top = int(wp.ceil(wp.clamp(wp.min(a[1], wp.min(b[1], c[1])), 0.0, float(height))))
        right = int(wp.floor(wp.clamp(wp.max(a[0], wp.max(b[0], c[0])), -1.0, float(width - 1))))
        low = int(wp.floor(wp.clamp(wp.max(a[1], wp.max(b[1], c[1])), -1.0, float(height - 1))))
        area = doubled_area(a, b, c)
        if left > right or top > low or wp.abs(area) < 1.0e-9:
            continue
        inverse = 1.0 / area
        a_near = 1.0 / a[2]
        b_near = 1.0 / b[2]
        c_near = 1.0 / c[2]
        v_right = (c[1] - a[1]) * inverse
        v_down = (a[0] - c[0]) * inverse
        w_right = (a[1] - b[1]) * inverse
        w_down = (b[0] - a[0]) * inverse
        for row in range(top, low + 1):
            y = float(row) - a[1]
            for column in range(left, right + 1):
                x = float(column) - a[0]
                v = v_right * x + v_down * y
                w = w_right * x + w_down * y
                u = 1.0 - v - w
                if wp.min(u, wp.min(v, w)) >= -SEAM:
                    depth = u * a_near + v * b_near + w * c_near
                    if depth > near[row, column]:
                        near[row, column] = depth
                        seen[row, column] = face

    share = 1.0 / float(samples * samples)
    for row in range(out_color.shape[0]):
        for column in range(out_color.shape[1]):
            total = wp.vec3(0.0)
            for layer in range(out_coverage.shape[2]):
                out_coverage[row, column, layer] = 0.0
            for down in range(samples):
                for across in range(samples):
                    below = row * samples + down
                    beside = column * samples + across
                    found = seen[below, beside]
                    if found >= 0:
                        corners = faces[found]
                        a = pixels[corners[0]]
                        b = pixels[corners[1]]
                        c = pixels[corners[2]]
                        inverse = 1.0 / doubled_area(a, b, c)
                        here = wp.vec3(float(beside), float(below), 0.0)
                        v = doubled_area(a, here, c) * inverse
                        w = doubled_area(a, b, here) * inverse
                        total += (1.0 - v - w) * colors[corners[0]] + v * colors[corners[1]] + w * colors[corners[2]]
                        out_coverage[row, column, labels[found]] += share
            out_color[row, column] = share * total
