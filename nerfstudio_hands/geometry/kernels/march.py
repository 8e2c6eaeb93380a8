"""Samples of rays inside a shell around a surface."""

# ruff: noqa: UP018 -- Warp takes `x = 0.0` for a constant; only `x = float(0.0)` makes a variable that a loop may change.

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays, surface_of
from nerfstudio_hands.geometry.kernels.triangle import closest_on_triangle, pseudonormal

MAX_INTERVALS = wp.constant(8)
"""Parts of one ray inside the shell; a ray that meets more ends there, which takes five stacked fingers."""


@wp.func
def span_in_box(lower: wp.vec3, upper: wp.vec3, shell: float, origin: wp.vec3, direction: wp.vec3) -> wp.vec2:
    """Where a ray enters and leaves the box around the shell; the first is larger where it misses it."""
    near = float(0.0)
    far = float(wp.inf)
    for axis in range(3):
        low = lower[axis] - shell - origin[axis]
        high = upper[axis] + shell - origin[axis]
        slope = direction[axis]
        if wp.abs(slope) < 1.0e-12:
            if low > 0.0 or high < 0.0:
                far = -1.0
        else:
            near = wp.max(near, wp.min(low / slope, high / slope))
            far = wp.min(far, wp.max(low / slope, high / slope))
    return wp.vec2(near, far)


@wp.kernel(enable_backward=False)
def march_kernel(
    first: int,
    arrays: SurfaceArrays,
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
    surface = surface_of(surfaces, item)
    mesh = arrays.meshes[surface]
    origin = origins[item]
    direction = directions[item]
    out_length[item] = 0.0

    span = span_in_box(arrays.lower[surface], arrays.upper[surface], shell, origin, direction)
    near = span[0]
    far = span[1]
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
        corners = arrays.faces[face]
        a = arrays.vertices[surface, corners[0]]
        ab = arrays.vertices[surface, corners[1]] - a
        ac = arrays.vertices[surface, corners[2]] - a
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
            normal = pseudonormal(arrays, surface, face, barycentric)
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
