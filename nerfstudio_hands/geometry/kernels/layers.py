"""What rays pass through where a surface is soft: how opaque it is there, layer by layer."""

# ruff: noqa: UP018 -- Warp takes `x = 0.0` for a constant; only `x = float(0.0)` makes a variable that a loop may change.

import warp as wp

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays, surface_of
from nerfstudio_hands.geometry.kernels.march import span_in_box
from nerfstudio_hands.geometry.kernels.triangle import closest_on_triangle, pseudonormal

CLEAR = wp.constant(6.0)
"""Scales before the surface beyond which nothing is lost: about a hundredth of the light of a ray that grazes it."""

OPAQUE = wp.constant(10.0)
"""Optical depth that lets nothing through."""

SECTIONS = wp.constant(4)
"""Parts into which the way from one query to the next is cut where its depth is told."""

MAX_MOVES = wp.constant(16)
"""Faces through which the nearest point is followed from one query to the next."""

MAX_TIES = wp.constant(2)
"""Of these, those in a row that are no nearer."""

TIE = wp.constant(1.0e-6)
"""Part of a squared distance that is none."""

TURN = wp.constant(0.25)
"""Scales by which the distance must have grown again before what follows is another layer."""


@wp.func
def laplace_integral(x: float) -> float:
    """Integral of Laplace's distribution function of -x, up to a constant."""
    if x > 0.0:
        return -0.5 * wp.exp(-x)
    return x - 0.5 * wp.exp(x)


@wp.func
def log_logistic(x: float) -> float:
    """Logarithm of the logistic distribution function."""
    if x > 0.0:
        return -wp.log(1.0 + wp.exp(-x))
    return x - wp.log(1.0 + wp.exp(x))


@wp.func
def optical_depth(x: float, y: float, way: float, is_density: wp.bool) -> float:
    """What a stretch of a ray swallows on which the distance changes linearly, all in scales.

    Of a density (VolSDF) it is the integral; of a signed distance alone (NeuS) what the logistic distribution function
    falls by, however long the stretch.
    """
    if is_density:
        if wp.abs(y - x) < 1.0e-3:
            middle = 0.5 * (x + y)
            return way * wp.where(middle > 0.0, 0.5 * wp.exp(-middle), 1.0 - 0.5 * wp.exp(middle))
        return way * (laplace_integral(y) - laplace_integral(x)) / (y - x)
    return wp.max(log_logistic(x) - log_logistic(y), 0.0)


@wp.struct
class Nearest:
    """The nearest point of a face."""

    face: int
    at: wp.vec3  # barycentric coordinates
    offset: wp.vec3  # from there
    squared: float  # length of the offset


@wp.func
def nearest_on(arrays: SurfaceArrays, surface: int, face: int, p: wp.vec3) -> Nearest:
    """The point of a face that is nearest to p."""
    corners = arrays.faces[face]
    a = arrays.vertices[surface, corners[0]]
    ab = arrays.vertices[surface, corners[1]] - a
    ac = arrays.vertices[surface, corners[2]] - a
    ap = p - a
    found = Nearest()
    found.face = face
    found.at = closest_on_triangle(ap, ab, ac)
    found.offset = ap - found.at[1] * ab - found.at[2] * ac
    found.squared = wp.dot(found.offset, found.offset)
    return found


@wp.func
def walked(
    arrays: SurfaceArrays, neighbors: wp.array(dtype=wp.vec3i), surface: int, face: int, p: wp.vec3
) -> Nearest:
    """The nearest point that a walk from a face to nearer neighbors ends at.

    Round a vertex that is nearest in two of its faces the walk goes on through these, or it would end at a vertex whose
    farther faces are nearer.
    """
    found = nearest_on(arrays, surface, face, p)
    came = int(-1)
    ties = int(0)
    for _move in range(MAX_MOVES):
        beside = neighbors[found.face]
        here = found.face
        best = Nearest()
        best.face = -1
        best.squared = found.squared * (1.0 + TIE)
        for k in range(3):
            if beside[k] >= 0 and beside[k] != came:
                other = nearest_on(arrays, surface, beside[k], p)
                if other.squared < best.squared:
                    best = other
        if best.face < 0:
            break
        ties += 1
        if best.squared < found.squared * (1.0 - TIE):
            ties = 0
        if ties > MAX_TIES:
            break
        found = best
        came = here
    return found


@wp.func
def signed_distance(arrays: SurfaceArrays, surface: int, near: Nearest) -> float:
    """Positive outside."""
    length = wp.sqrt(near.squared)
    if wp.dot(near.offset, pseudonormal(arrays, surface, near.face, near.at)) < 0.0:
        return -length
    return length


@wp.func
def depth_below(
    below: wp.array3d(dtype=float), surface: int, corners: wp.vec3i, at: wp.vec3, distance: float, shell: float
) -> float:
    """How far below a point of a face the soft surface lies, for places at a distance from it."""
    last = below.shape[2] - 1
    place = wp.clamp((distance / shell + 1.0) * 0.5 * float(last), 0.0, float(last))
    low = wp.min(int(place), last - 1)
    part = place - float(low)
    found = float(0.0)
    for k in range(3):
        corner = corners[k]
        found += at[k] * ((1.0 - part) * below[surface, corner, low] + part * below[surface, corner, low + 1])
    return found


@wp.func
def between(first: float, second: float, first_slope: float, second_slope: float, part: float) -> float:
    """The value at a part of the way from one to another with these slopes a way (cubic Hermite)."""
    rest = 1.0 - part
    left = rest * rest * ((1.0 + 2.0 * part) * first + part * first_slope)
    return left + part * part * ((3.0 - 2.0 * part) * second - rest * second_slope)


@wp.kernel(enable_backward=False)
def layers_kernel(
    first: int,
    arrays: SurfaceArrays,
    neighbors: wp.array(dtype=wp.vec3i),
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    surfaces: wp.array(dtype=wp.int64),
    starts: wp.array(dtype=float),
    seeds: wp.array(dtype=wp.int64),
    below: wp.array3d(dtype=float),
    counts: wp.array(dtype=wp.bool),
    scales: wp.array(dtype=float),
    is_density: wp.bool,
    shell: float,
    min_step: float,
    max_steps: int,
    least: float,
    out_depth: wp.array2d(dtype=float),
    out_optical_depth: wp.array2d(dtype=float),
):
    """Layers of rays, each met where the distance falls, from `starts` on or else from the box around the shell.

    The nearest face is walked to from that of the query before, first from `seeds`; where the distance grows, after a
    stride outside of the shell, or where there is no face to begin from, the hierarchy is asked, because another part
    of the surface may have come nearer. The
    distance is that from the surface, cubic from query to query, plus `below` of the nearest vertices at that distance,
    of as many as span the shell; a width of `scales` is the unit of both. Faces that do not count are empty. What
    weighs no more than `least` is no layer.
    """
    item = first + wp.tid()
    surface = surface_of(surfaces, item)
    mesh = arrays.meshes[surface]
    origin = origins[item]
    direction = directions[item]
    scale = scales[0]
    most = out_depth.shape[1]
    for k in range(most):
        out_depth[item, k] = 0.0
        out_optical_depth[item, k] = 0.0

    span = span_in_box(arrays.lower[surface], arrays.upper[surface], shell, origin, direction)
    t = float(span[0])
    far = span[1]
    if starts.shape[0] > 0:
        t = wp.max(t, starts[item])
    if not (t <= far):
        return

    layer = int(0)
    swallowed = float(0.0)
    of_layer = float(0.0)
    weight = float(0.0)
    moment = float(0.0)
    highest = float(-wp.inf)
    lowest = float(wp.inf)
    last_t = float(0.0)
    last_distance = float(wp.inf)
    last_height = float(0.0)
    last_slope = float(0.0)
    last_at = wp.vec3(0.0)
    last_corners = wp.vec3i(0)
    last_counts = bool(False)
    begun = bool(False)
    face = int(-1)
    if seeds.shape[0] > 0:
        face = int(seeds[item])
    for _step in range(max_steps):
        p = origin + t * direction
        near = Nearest()
        distance = float(wp.inf)
        bound = float(wp.inf)
        if face >= 0:
            near = walked(arrays, neighbors, surface, face, p)
            distance = signed_distance(arrays, surface, near)
            bound = wp.abs(distance) * 1.0001 + 1.0e-6
        if face < 0 or distance > last_distance or last_distance > shell:
            query = wp.mesh_query_point_no_sign(mesh, p, bound)
            if query.result:
                near = nearest_on(arrays, surface, query.face, p)
                distance = signed_distance(arrays, surface, near)
            elif face < 0:
                break
        face = near.face
        corners = arrays.faces[face]
        at = near.at
        height = (distance + depth_below(below, surface, corners, at, distance, shell)) / scale
        slope = float(-1.0)
        if wp.abs(distance) > 1.0e-6:
            slope = wp.dot(near.offset, direction) / distance

        if begun and (last_counts or counts[face]) and wp.min(height, last_height) < CLEAR:
            # Of the stretch since the last query, the part that is in the shell.
            begin = float(0.0)
            end = float(1.0)
            fall = last_distance - distance
            if last_distance > shell and fall > 0.0:
                begin = wp.min((last_distance - shell) / fall, 1.0)
            if distance > shell and fall < 0.0:
                end = wp.max((last_distance - shell) / fall, 0.0)
            if distance < -shell and fall > 0.0:
                end = wp.min((last_distance + shell) / fall, 1.0)
            # What counts ends half way to what does not.
            if not last_counts:
                begin = wp.max(begin, 0.5)
            if not counts[face]:
                end = wp.max(wp.min(end, 0.5), begin)
            # Another layer begins where the surface comes nearer again.
            way = t - last_t
            place = between(last_distance, distance, last_slope * way, slope * way, begin)
            x = place + (1.0 - begin) * depth_below(below, surface, last_corners, last_at, place, shell)
            x = (x + begin * depth_below(below, surface, corners, at, place, shell)) / scale
            if height < last_height and highest - lowest > TURN:
                if weight > least and layer < most - 1:
                    out_depth[item, layer] = moment / weight
                    out_optical_depth[item, layer] = of_layer
                    layer += 1
                    of_layer = 0.0
                    weight = 0.0
                    moment = 0.0
                highest = float(-wp.inf)
                lowest = float(wp.inf)
            width = (end - begin) / float(SECTIONS)
            for k in range(SECTIONS):
                middle = begin + (float(k) + 0.5) * width
                reached = begin + float(k + 1) * width
                place = between(last_distance, distance, last_slope * way, slope * way, reached)
                y = place + (1.0 - reached) * depth_below(below, surface, last_corners, last_at, place, shell)
                y = (y + reached * depth_below(below, surface, corners, at, place, shell)) / scale
                lost = optical_depth(x, y, width * way / scale, is_density)
                part = wp.exp(-swallowed) - wp.exp(-swallowed - lost)
                swallowed += lost
                of_layer += lost
                weight += part
                moment += part * (last_t + middle * (t - last_t))
                x = float(y)
        if height < lowest:
            lowest = float(height)
            highest = float(height)
        highest = wp.max(highest, height)

        if wp.exp(-swallowed) < least:
            of_layer += OPAQUE
            break
        if distance < -shell or t >= far:
            break
        begun = True
        last_t = float(t)
        last_distance = float(distance)
        last_height = float(height)
        last_slope = float(slope)
        last_at = at
        last_corners = corners
        last_counts = bool(counts[face])
        step = wp.max(0.6 * wp.min(wp.abs(height) * scale, wp.abs(distance) + min_step), min_step)
        if distance > shell:
            step = wp.max(distance - shell, min_step)
        t = wp.min(t + step, far)
    if weight > least:
        out_depth[item, layer] = moment / weight
        out_optical_depth[item, layer] = of_layer
