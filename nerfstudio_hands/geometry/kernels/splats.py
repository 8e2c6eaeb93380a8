"""Projected Gaussians dealt out to the tiles of a picture and composited from front to back; see `geometry/splats`."""

import warp as wp

CUT_OFF = wp.constant(1.0 / 255.0)
"""Opacity below which a splat adds nothing to a pixel (Kerbl et al., "3D Gaussian splatting", 2023)."""

MOST_OPAQUE = wp.constant(0.99)
"""Opacity of a splat in a pixel at most, so that what lies behind keeps a gradient (the same)."""

LEAST_LIGHT = wp.constant(1.0e-4)
"""Light that still comes through in front of which a pixel is done (the same)."""


@wp.func
def cut_square(opacity: float):
    """Squared distance from its middle, in half axes, at which a splat is cut off, negative where it is everywhere."""
    if not (opacity > CUT_OFF):
        return -1.0
    return 2.0 * wp.log(opacity / CUT_OFF)


@wp.func
def reach(conic: wp.vec3, cut: float):
    """Half width and half height in pixels of where a splat is not cut off, negative where it is everywhere."""
    if cut < 0.0:
        return wp.vec2(-1.0, -1.0)
    spread = cut / (conic[0] * conic[2] - conic[1] * conic[1])
    return wp.vec2(wp.sqrt(spread * conic[2]), wp.sqrt(spread * conic[0]))


@wp.func
def tile_span(middle: float, half: float, size: int, tile: int):
    """First tile and the one after the last that a splat touches along one axis, whose pixels are at whole numbers."""
    low = wp.max(wp.ceil(middle - half), 0.0)
    high = wp.min(wp.floor(middle + half), float(size - 1))
    if not (half >= 0.0 and low <= high):
        return wp.vec2i(0, 0)
    return wp.vec2i(int(low) // tile, int(high) // tile + 1)


@wp.kernel(enable_backward=False)
def count_tiles_kernel(
    first: int,
    order: wp.array(dtype=int),
    means: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    opacities: wp.array(dtype=float),
    width: int,
    height: int,
    tile: int,
    out_count: wp.array(dtype=wp.int64),
):
    """How many tiles each splat touches, in the order given."""
    rank = first + wp.tid()
    splat = order[rank]
    half = reach(conics[splat], cut_square(opacities[splat]))
    columns = tile_span(means[splat][0], half[0], width, tile)
    rows = tile_span(means[splat][1], half[1], height, tile)
    out_count[rank] = wp.int64((columns[1] - columns[0]) * (rows[1] - rows[0]))


@wp.kernel(enable_backward=False)
def list_tiles_kernel(
    first: int,
    order: wp.array(dtype=int),
    means: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    opacities: wp.array(dtype=float),
    width: int,
    height: int,
    tile: int,
    ends: wp.array(dtype=wp.int64),
    out_tile: wp.array(dtype=int),
    out_splat: wp.array(dtype=int),
):
    """The tiles that each splat touches, its entries before `ends` of it."""
    rank = first + wp.tid()
    splat = order[rank]
    half = reach(conics[splat], cut_square(opacities[splat]))
    columns = tile_span(means[splat][0], half[0], width, tile)
    rows = tile_span(means[splat][1], half[1], height, tile)
    across = (width + tile - 1) // tile
    entry = int(ends[rank]) - (columns[1] - columns[0]) * (rows[1] - rows[0])
    for row in range(rows[0], rows[1]):
        for column in range(columns[0], columns[1]):
            out_tile[entry] = row * across + column
            out_splat[entry] = splat
            entry += 1


@wp.func
def tile_corners(number: int, tile: int, width: int, height: int):
    """First column and row, and last column and row, of a tile of a picture."""
    across = (width + tile - 1) // tile
    top = number // across * tile
    left = number % across * tile
    return wp.vec4i(left, top, wp.min(left + tile, width) - 1, wp.min(top + tile, height) - 1)


@wp.func
def splat_rows(mean: wp.vec2, conic: wp.vec3, cut: float, top: int, bottom: int):
    """First and last row, of those from `top` to `bottom`, in which a splat is not cut off."""
    half = reach(conic, cut)[1]
    low = wp.max(wp.ceil(mean[1] - half), float(top))
    high = wp.min(wp.floor(mean[1] + half), float(bottom))
    return wp.vec2i(int(low), int(high))


@wp.func
def row_span(mean: wp.vec2, down: float, conic: wp.vec3, cut: float, left: int, right: int):
    """First and last column of a row, `down` from a splat's middle, in which it is not cut off."""
    middle = -conic[1] * down / conic[0]
    half = wp.sqrt(wp.max(middle * middle - (conic[2] * down * down - cut) / conic[0], 0.0))
    low = wp.max(wp.ceil(mean[0] + middle - half), float(left))
    high = wp.min(wp.floor(mean[0] + middle + half), float(right))
    return wp.vec2i(int(low), int(high))


@wp.func
def falloff_and_factor(aside: float, down: float, conic: wp.vec3):
    """A Gaussian at a place, and by what it is multiplied one column to the right of there.

    That factor is multiplied by `exp(-conic[0])` from column to column, so that a row needs no further exponentials.
    """
    square = conic[0] * aside * aside + 2.0 * conic[1] * aside * down + conic[2] * down * down
    step = conic[0] * (aside + 0.5) + conic[1] * down
    return wp.vec2(wp.exp(-0.5 * square), wp.exp(-step))


@wp.kernel(enable_backward=False)
def composite_kernel(
    first: int,
    tile: int,
    starts: wp.array(dtype=wp.int64),
    splats: wp.array(dtype=int),
    means: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    opacities: wp.array(dtype=float),
    features: wp.array2d(dtype=wp.vec4),
    image: wp.array3d(dtype=wp.vec4),
    light: wp.array2d(dtype=float),
):
    """A tile of a picture, one splat after the other, features in groups of four.

    Not one pixel after the other: splats are a few pixels large, and most of a tile's are beside any one pixel. `light`
    is what comes through all splats so far: ones at first. `image` begins with zeros.
    """
    number = first + wp.tid()
    height = light.shape[0]
    width = light.shape[1]
    corners = tile_corners(number, tile, width, height)
    left = corners[0]
    top = corners[1]
    right = corners[2]
    bottom = corners[3]
    dark = wp.int32(0)
    for entry in range(int(starts[number]), int(starts[number + 1])):
        if dark == (bottom - top + 1) * (right - left + 1):
            break
        splat = splats[entry]
        mean = means[splat]
        conic = conics[splat]
        opacity = opacities[splat]
        decay = wp.exp(-conic[0])
        cut = cut_square(opacity)
        rows = splat_rows(mean, conic, cut, top, bottom)
        for row in range(rows[0], rows[1] + 1):
            down = float(row) - mean[1]
            span = row_span(mean, down, conic, cut, left, right)
            state = falloff_and_factor(float(span[0]) - mean[0], down, conic)
            falloff = float(state[0])
            factor = float(state[1])
            for column in range(span[0], span[1] + 1):
                through = light[row, column]
                weight = wp.min(opacity * falloff, MOST_OPAQUE) * through
                falloff *= factor
                factor *= decay
                if through < LEAST_LIGHT:
                    continue
                for group in range(features.shape[1]):
                    image[row, column, group] += weight * features[splat, group]
                light[row, column] = through - weight
                if through - weight < LEAST_LIGHT:
                    dark += 1


@wp.kernel(enable_backward=False)
def composite_backward_kernel(
    first: int,
    tile: int,
    starts: wp.array(dtype=wp.int64),
    splats: wp.array(dtype=int),
    means: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    opacities: wp.array(dtype=float),
    features: wp.array2d(dtype=wp.vec4),
    image_gradient: wp.array3d(dtype=wp.vec4),
    coverage_gradient: wp.array2d(dtype=float),
    behind: wp.array2d(dtype=float),
    light: wp.array2d(dtype=float),
    out_mean: wp.array(dtype=wp.vec2),
    out_conic: wp.array(dtype=wp.vec3),
    out_opacity: wp.array(dtype=float),
    out_features: wp.array2d(dtype=wp.vec4),
):
    """What each splat of a tile gets of a picture's gradient, an entry each; the same way as `composite_kernel`.

    `behind` is what the pixel owes to this splat and those behind it: at first the sum of all that it shows times the
    gradient of that. `out_features` begins with zeros.
    """
    number = first + wp.tid()
    height = light.shape[0]
    width = light.shape[1]
    corners = tile_corners(number, tile, width, height)
    left = corners[0]
    top = corners[1]
    right = corners[2]
    bottom = corners[3]
    for entry in range(int(starts[number]), int(starts[number + 1])):
        splat = splats[entry]
        mean = means[splat]
        conic = conics[splat]
        opacity = opacities[splat]
        decay = wp.exp(-conic[0])
        cut = cut_square(opacity)
        rows = splat_rows(mean, conic, cut, top, bottom)
        of_mean = wp.vec2(0.0)
        of_conic = wp.vec3(0.0)
        of_opacity = wp.float32(0.0)
        for row in range(rows[0], rows[1] + 1):
            down = float(row) - mean[1]
            span = row_span(mean, down, conic, cut, left, right)
            state = falloff_and_factor(float(span[0]) - mean[0], down, conic)
            next_falloff = float(state[0])
            factor = float(state[1])
            for column in range(span[0], span[1] + 1):
                falloff = next_falloff
                next_falloff *= factor
                factor *= decay
                through = light[row, column]
                if through < LEAST_LIGHT:
                    continue
                alpha = wp.min(opacity * falloff, MOST_OPAQUE)
                weight = alpha * through
                worth = coverage_gradient[row, column]
                for group in range(features.shape[1]):
                    gradient = image_gradient[row, column, group]
                    worth += wp.dot(gradient, features[splat, group])
                    out_features[entry, group] += weight * gradient
                rest = behind[row, column] - weight * worth
                behind[row, column] = rest
                light[row, column] = through - weight
                if opacity * falloff >= MOST_OPAQUE:
                    continue
                slope = through * worth - rest / (1.0 - alpha)
                of_opacity += slope * falloff
                pull = slope * alpha
                aside = float(column) - mean[0]
                of_mean += pull * wp.vec2(conic[0] * aside + conic[1] * down, conic[1] * aside + conic[2] * down)
                of_conic -= pull * wp.vec3(0.5 * aside * aside, aside * down, 0.5 * down * down)
        out_mean[entry] = of_mean
        out_conic[entry] = of_conic
        out_opacity[entry] = of_opacity
