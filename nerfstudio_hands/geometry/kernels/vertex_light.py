"""Light that reaches vertices from some directions, shadows by one small depth map a direction: quick, not exact."""

import warp as wp

SHADOW_BIAS = wp.constant(2.5e-3)
"""Meters by which a surface may lie behind what the depth map says and still be lit."""

SHADOW_SOFTNESS = wp.constant(4.0e-3)
"""Meters over which shadow sets in behind that."""

NORMAL_OFFSET = wp.constant(2.0e-3)
"""Meters off the surface at which shadow is looked up."""

NOTHING = wp.constant(-1.0e6)
"""Of a cell of a depth map that no face covers."""


@wp.func
def map_place(point: wp.vec3, frame: wp.mat33, center: wp.vec3, reach: float, cells: int):
    """Column and row of a point in a depth map, and how far it is towards the light; cell centers are whole numbers."""
    local = frame * (point - center)
    half = 0.5 * float(cells)
    return wp.vec3(local[0] / reach * half + half - 0.5, local[1] / reach * half + half - 0.5, local[2])


@wp.func
def span(a: float, b: float, c: float, cells: int):
    """First and last whole number between three numbers, within the map."""
    low = wp.max(wp.min(a, wp.min(b, c)), 0.0)
    high = wp.min(wp.max(a, wp.max(b, c)), float(cells - 1))
    return wp.vec2i(int(wp.ceil(low)), int(wp.floor(high)))


@wp.kernel(enable_backward=False)
def depth_map_kernel(
    first: int,
    vertices: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    frames: wp.array(dtype=wp.mat33),
    center: wp.vec3,
    reach: float,
    out_depth: wp.array3d(dtype=float),
):
    """One depth map a direction: how far towards the light the nearest face is in each cell."""
    k = first + wp.tid()
    cells = out_depth.shape[1]
    frame = frames[k]
    for row in range(cells):
        for column in range(cells):
            out_depth[k, row, column] = NOTHING
    for face in range(faces.shape[0]):
        corners = faces[face]
        a = map_place(vertices[corners[0]], frame, center, reach, cells)
        b = map_place(vertices[corners[1]], frame, center, reach, cells)
        c = map_place(vertices[corners[2]], frame, center, reach, cells)
        columns = span(a[0], b[0], c[0], cells)
        rows = span(a[1], b[1], c[1], cells)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        # What is turned away from the light is hidden by what is turned to it.
        if area <= 1.0e-9:
            continue
        for row in range(rows[0], rows[1] + 1):
            for column in range(columns[0], columns[1] + 1):
                x = float(column)
                y = float(row)
                v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
                w = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
                if wp.min(1.0 - v - w, wp.min(v, w)) >= -1.0e-4:
                    depth = (1.0 - v - w) * a[2] + v * b[2] + w * c[2]
                    out_depth[k, row, column] = wp.max(out_depth[k, row, column], depth)


@wp.func
def seen_share(place: wp.vec3, depth: wp.array3d(dtype=float), k: int):
    """How much of a light a place sees: the mean over the four cells around it, weighted by nearness."""
    cells = depth.shape[1]
    left = int(wp.floor(place[0]))
    top = int(wp.floor(place[1]))
    if left < 0 or top < 0 or left + 1 >= cells or top + 1 >= cells:
        return 1.0
    x = place[0] - float(left)
    y = place[1] - float(top)
    total = wp.float32(0.0)
    for down in range(2):
        for across in range(2):
            behind = depth[k, top + down, left + across] - place[2] - SHADOW_BIAS
            weight = wp.where(across == 1, x, 1.0 - x) * wp.where(down == 1, y, 1.0 - y)
            total += weight * wp.clamp(1.0 - behind / SHADOW_SOFTNESS, 0.0, 1.0)
    return total


@wp.kernel(enable_backward=False)
def vertex_light_kernel(
    first: int,
    vertices: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    albedo: wp.array(dtype=wp.vec3),
    gloss: wp.array(dtype=wp.vec2),
    frames: wp.array(dtype=wp.mat33),
    power: wp.array(dtype=wp.vec3),
    softness: wp.array(dtype=float),
    depth: wp.array3d(dtype=float),
    center: wp.vec3,
    reach: float,
    wrap: wp.vec3,
    out_radiance: wp.array(dtype=wp.vec3),
):
    """Radiance of vertices towards a camera at the origin.

    `frames` have the unit direction to each light as their third row, `power` its irradiance on a surface that faces
    it, `softness` by how much it widens gloss; `gloss` is roughness and reflectance; `wrap` says how far around an edge
    light of each color creeps under the surface.
    """
    vertex = first + wp.tid()
    place = vertices[vertex]
    normal = normals[vertex]
    to_camera = -wp.normalize(place)
    off = place + NORMAL_OFFSET * normal
    cells = depth.shape[1]
    diffuse = wp.vec3(0.0)
    hidden = wp.vec3(0.0)
    mirrored = wp.vec3(0.0)
    facing = wp.max(wp.dot(normal, to_camera), 0.05)
    for k in range(frames.shape[0]):
        frame = frames[k]
        toward = wp.vec3(frame[2, 0], frame[2, 1], frame[2, 2])
        cosine = wp.dot(normal, toward)
        if cosine <= -wp.max(wrap):
            continue
        visible = seen_share(map_place(off, frame, center, reach, cells), depth, k)
        soft = wp.vec3(
            wp.max(cosine + wrap[0], 0.0) / (1.0 + wrap[0]),
            wp.max(cosine + wrap[1], 0.0) / (1.0 + wrap[1]),
            wp.max(cosine + wrap[2], 0.0) / (1.0 + wrap[2]),
        )
        diffuse += visible * wp.cw_mul(soft, power[k])
        hidden += (1.0 - visible) * wp.cw_mul(soft, power[k])
        if cosine > 0.0:
            half = wp.normalize(toward + to_camera)
            alpha = wp.min(gloss[vertex][0] * gloss[vertex][0] + softness[k], 1.0)
            square = alpha * alpha
            peak = wp.dot(normal, half) * wp.dot(normal, half) * (square - 1.0) + 1.0
            fresnel = gloss[vertex][1] + (1.0 - gloss[vertex][1]) * wp.pow(1.0 - wp.dot(half, to_camera), 5.0)
            roughened = 0.5 * alpha
            masking = (facing * (1.0 - roughened) + roughened) * (cosine * (1.0 - roughened) + roughened)
            scale = visible * cosine * square / (peak * peak) * fresnel / (4.0 * masking)
            mirrored += scale * power[k]
    # What one part of the surface takes from another it throws back once, in its own color.
    tone = albedo[vertex]
    bounced = 0.5 * wp.cw_mul(wp.cw_mul(tone, tone), hidden)
    out_radiance[vertex] = wp.cw_mul(tone, diffuse) + bounced + mirrored
