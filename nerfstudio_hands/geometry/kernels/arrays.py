"""What the kernels read of surfaces."""

import warp as wp


@wp.struct
class SurfaceArrays:
    """S surfaces of V vertices that share F faces and E edges."""

    meshes: wp.array(dtype=wp.uint64)  # [S], hierarchies
    vertices: wp.array2d(dtype=wp.vec3)  # [S, V]
    faces: wp.array(dtype=wp.vec3i)  # [F]
    face_edges: wp.array(dtype=wp.vec3i)  # [F], edges of each face
    face_normals: wp.array2d(dtype=wp.vec3)  # [S, F], unit
    edge_normals: wp.array2d(dtype=wp.vec3)  # [S, E], unit
    vertex_normals: wp.array2d(dtype=wp.vec3)  # [S, V], unit
    lower: wp.array(dtype=wp.vec3)  # [S], corner of the bounding box
    upper: wp.array(dtype=wp.vec3)  # [S]


@wp.func
def surface_of(surfaces: wp.array(dtype=wp.int64), item: int) -> int:
    """The surface that an item asks; without any in `surfaces` all ask the first."""
    if surfaces.shape[0] > 0:
        return int(surfaces[item])
    return 0
