"""Gaussians on the faces of a surface carried along with it, and looked at; see `geometry/splats/surface.py`."""

import warp as wp

FILTER = wp.constant(0.1)
"""Variance in pixels of the filter that stands for a pixel's area (Yu et al., "Mip-Splatting", CVPR 2024, section 5.2,
whose value it is)."""

MIN_DEPTH = wp.constant(0.01)
"""Depth, metres, below which a splat is not drawn: it would cover the picture."""

REACH = wp.constant(1.5)
"""Pictures between the middle of the picture and that of a splat beyond which the splat is not drawn."""

HARMONIC = wp.constant(0.4886025119029199)
"""Of level one, times an axis of the direction (see `transforms/spherical_harmonics.py`)."""


@wp.func
def blend(values: wp.array(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int64), face: int, weights: wp.vec3):
    """What lies between the corners of a face."""
    found = weights[0] * values[int(faces[face, 0])]
    found += weights[1] * values[int(faces[face, 1])]
    return found + weights[2] * values[int(faces[face, 2])]


@wp.func
def softmax(logits: wp.vec3):
    """Positive numbers of these logarithms that sum up to one."""
    most = wp.max(logits)
    found = wp.vec3(wp.exp(logits[0] - most), wp.exp(logits[1] - most), wp.exp(logits[2] - most))
    return found / (found[0] + found[1] + found[2])


@wp.kernel(enable_backward=False)
def carry_kernel(
    first: int,
    vertices: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    brightness: wp.array(dtype=wp.vec3),
    heights: wp.array(dtype=float),
    colors: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int64),
    frames: wp.array(dtype=wp.mat33),
    face: wp.array(dtype=wp.int64),
    place: wp.array(dtype=wp.vec3),
    half_axes: wp.array(dtype=wp.vec2),
    turn: wp.array(dtype=float),
    thickness: wp.array(dtype=float),
    height: wp.array(dtype=float),
    color: wp.array(dtype=wp.vec3),
    view: wp.array(dtype=wp.mat33),
    shell: float,
    out_mean: wp.array(dtype=wp.vec3),
    out_axes: wp.array(dtype=wp.mat33),
    out_normal: wp.array(dtype=wp.vec3),
    out_diffuse: wp.array(dtype=wp.vec3),
    out_view: wp.array(dtype=wp.mat33),
):
    """What `model_components.posed_splats.pose_splats` says of each splat."""
    splat = first + wp.tid()
    mine = int(face[splat])
    weights = softmax(place[splat])
    normal = wp.normalize(blend(normals, faces, mine, weights))
    bright = blend(brightness, faces, mine, weights)
    higher = wp.float32(0.0)
    for corner in range(3):
        higher += weights[corner] * heights[int(faces[mine, corner])]
    out_mean[splat] = blend(vertices, faces, mine, weights) + shell * wp.tanh(height[splat] + higher) * normal
    out_normal[splat] = normal
    out_diffuse[splat] = wp.cw_mul(color[splat] + blend(colors, faces, mine, weights), bright)
    out_view[splat] = view[splat] * wp.diag(bright)
    frame = frames[mine]
    along = frame[0]
    across = frame[1]
    cosine = wp.cos(turn[splat])
    sine = wp.sin(turn[splat])
    long = half_axes[splat][0] * (cosine * along + sine * across)
    wide = half_axes[splat][1] * (cosine * across - sine * along)
    out_axes[splat] = wp.matrix_from_rows(long, wide, thickness[splat] * frame[2])


@wp.kernel(enable_backward=False)
def see_kernel(
    first: int,
    means: wp.array(dtype=wp.vec3),
    axes: wp.array(dtype=wp.mat33),
    opacities: wp.array(dtype=float),
    normals: wp.array(dtype=wp.vec3),
    diffuse: wp.array(dtype=wp.vec3),
    view: wp.array(dtype=wp.mat33),
    origin: wp.array(dtype=wp.vec3),
    to_image: wp.array(dtype=wp.mat33),
    exposure: wp.array(dtype=wp.vec3),
    width: float,
    height: float,
    out_mean: wp.array(dtype=wp.vec2),
    out_conic: wp.array(dtype=wp.vec3),
    out_opacity: wp.array(dtype=float),
    out_depth: wp.array(dtype=float),
    out_features: wp.array2d(dtype=wp.vec4),
):
    """What `project_splats` and `PosedSplats.colors` say of each splat; `exposure` is gain and bias.

    Features are color, distance from the camera, and normal.
    """
    splat = first + wp.tid()
    normal = normals[splat]
    seen = means[splat] - origin[0]
    toward = wp.normalize(seen)
    mirrored = toward - 2.0 * wp.dot(toward, normal) * normal
    harmonics = HARMONIC * wp.vec3(mirrored[1], mirrored[2], mirrored[0])
    color = wp.max(diffuse[splat] + wp.transpose(view[splat]) * harmonics, wp.vec3(0.0))
    color = wp.cw_mul(color, exposure[0]) + exposure[1]
    out_features[splat, 0] = wp.vec4(color[0], color[1], color[2], wp.length(seen))
    out_features[splat, 1] = wp.vec4(normal[0], normal[1], normal[2], 0.0)

    place = to_image[0] * seen
    depth = place[2]
    near = wp.where(depth > MIN_DEPTH, 1.0 / depth, 1.0)
    column = place[0] * near
    row = place[1] * near
    xx = wp.float32(FILTER)
    yy = wp.float32(FILTER)
    xy = wp.float32(0.0)
    sharp_xx = wp.float32(0.0)
    sharp_yy = wp.float32(0.0)
    for axis in range(3):
        end = to_image[0] * axes[splat][axis]
        aside = (end[0] - end[2] * column) * near
        down = (end[1] - end[2] * row) * near
        sharp_xx += aside * aside
        sharp_yy += down * down
        xy += aside * down
    xx += sharp_xx
    yy += sharp_yy
    blurred = xx * yy - xy * xy
    fainter = wp.sqrt(wp.max((sharp_xx * sharp_yy - xy * xy) / blurred, 1.0e-8))
    inside = depth > MIN_DEPTH and wp.abs(column / width - 0.5) < REACH and wp.abs(row / height - 0.5) < REACH
    out_mean[splat] = wp.vec2(column, row)
    out_conic[splat] = wp.vec3(yy, -xy, xx) / blurred
    out_opacity[splat] = wp.where(inside, opacities[splat] * fainter, 0.0)
    out_depth[splat] = depth
