"""Gauss-Newton steps for all variables of a fit at once.

The problem is a sum of weighted squares: distances of landmarks from the rays of detections, distances of outline
points from tangent lines in pictures, and priors. Robust functions enter as weights of the current residuals. The
displacement of vertices is expressed in the lowest eigenvectors of each hand's Laplacian, so that a few hundred
unknowns hold all smooth changes and the normal equations are small and dense. Everything is in float64 on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import laplacian
from scipy.sparse.linalg import eigsh
from torch import Tensor

from nerfstudio_hands.fitting.joints.pose_fit import (
    DETECTION_METERS,
    LANDMARK_OFFSET_METERS,
    LIMIT_RADIANS,
    SHAPE_PRIOR,
    JointTerms,
    PosePrior,
    landmark_shift,
)
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model import HandSurface, pose_hand
from nerfstudio_hands.transforms.projection import corrected_extrinsics, zoomed_intrinsics
from nerfstudio_hands.transforms.rotations import rotation_matrix, rotation_vector, skew

# Numbers of unknowns of one posed hand: orientation, 15 local rotations, translation.
POSE_SIZE = 51
STEP = 1e-6
# Hands that are linearised at once.
WORKERS = 2
DAMPING = 1e-4

# Scatter of mask boundaries at the depth of the hand.
OUTLINE_METERS = 0.0008
# A stretch of outline this long counts as one independent measurement.
CORRELATION_METERS = 0.004
# Most cameras of a rig are as calibrated and a few were knocked: heavy tails (Cauchy) leave the first ones where they
# are. Without that, hands and all cameras could drift together at no cost, away from the cameras that take no part.
# Joints that were measured in space hold the hands where they are, and less will do: a camera that was turned about its
# own axis moves the outlines of a hand in the middle of its picture by little.
CAMERA_PRIOR_RADIANS = 0.2 * torch.pi / 180
CAMERA_PRIOR_WEIGHT = 20.0
CAMERA_PRIOR_WEIGHT_IN_SPACE = 3.0
# Focal lengths likewise: logarithms of factors.
ZOOM_PRIOR = 0.003
ZOOM_PRIOR_WEIGHT = 20.0
# Smooth changes of form up to some millimetres, roughness (distance from the neighbours' mean) up to a tenth of one.
DISPLACEMENT_METERS = 0.0015
ROUGHNESS_METERS = 0.0001
DISPLACEMENT_WEIGHT = 100.0
DISPLACEMENT_MODES = 100
# Where their eigenvalues are looked for: less than the smallest one, 0, of a matrix whose diagonal is 1 on average.
BELOW_ZERO = -1e-3


@dataclass
class Pairs:
    """Matched outline points of one picture: mesh edges with positions on them, and tangent lines in the picture.

    Attributes:
        frame: Index of the frame.
        camera: Index of the camera.
        ends: Vertices of the mesh edge.
        fraction: Position on it, 0 at the first vertex.
        points: Matched point of the mask, pixels.
        normals: Its unit normal.
        length: Stretch of outline that a pair stands for, pixels.
        weight: Of the picture.
    """

    frame: int
    camera: int
    ends: Int[Tensor, "P 2"]
    fraction: Float[Tensor, " P"]
    points: Float[Tensor, "P 2"]
    normals: Float[Tensor, "P 2"]
    length: float
    weight: float


@dataclass
class Modes:
    """Smooth displacements of each hand.

    Attributes:
        vectors: Orthonormal columns.
        precision: Prior weight of each squared coefficient, per square metre.
    """

    vectors: tuple[Float[Tensor, "_ M"], ...]
    precision: Float[Tensor, "H M"]


@dataclass
class _LinearHand:
    """One hand of one frame, and how it moves with its 51 pose variables and the shape."""

    frame: int
    hand: int
    first_vertex: int
    vertices: Float[Tensor, "V 3"]
    vertex_jacobian: Float[Tensor, "V 3 S"]
    blended: Float[Tensor, "V 3 3"]
    joints: Float[Tensor, "21 3"]
    joint_jacobian: Float[Tensor, "21 3 S"]
    offset_jacobian: Float[Tensor, "21 3 3"]


@dataclass(frozen=True)
class _Shown:
    """Outline points of a hand in one picture, and what moves them.

    Attributes:
        ends: Vertices of the mesh edge that each lies on.
        moved: How the residual grows with their displacement.
        rows: How it grows with the other unknowns.
        columns: These.
        residual: Metres.
        worth: Its weight.
    """

    ends: Int[Tensor, "P 2"]
    moved: Float[Tensor, "P 2 3"]
    rows: Float[Tensor, "P N"]
    columns: Int[Tensor, " N"]
    residual: Float[Tensor, " P"]
    worth: Float[Tensor, " P"]


@dataclass(frozen=True)
class Weights:
    """How one round of a fit weighs things.

    Attributes:
        joints: Of the detected joints.
        outline_scale: Misfit at which an outline pair begins to be taken for an outlier, metres.
        cameras: Whether cameras may turn.
        zoom: Whether their focal lengths may change.
        displacement: Whether vertices may move.
        shape: Whether the shape may change.
        landmarks: Whether the places of landmarks may change.
    """

    joints: float
    outline_scale: float
    cameras: bool
    zoom: bool
    displacement: bool
    shape: bool
    landmarks: bool


def smooth_modes(surface: HandSurface, count: int = DISPLACEMENT_MODES) -> Modes:
    """Lowest eigenvectors of each hand's graph Laplacian, with the prior that follows from smoothness."""
    vectors, precision = [], []
    for hand in surface.hands:
        size = min(count, hand.num_vertices - 1)
        first, second = edges(hand.faces)[0].T.numpy()
        neighbors = csc_array((np.ones(len(first)), (first, second)), shape=(hand.num_vertices, hand.num_vertices))
        matrix = laplacian(neighbors + neighbors.T)
        matrix /= matrix.diagonal().mean()  # pyright: ignore[reportAttributeAccessIssue]
        # The same vectors in each process: ARPACK would begin anywhere.
        start = np.random.default_rng(0).standard_normal(hand.num_vertices)
        values, basis = map(torch.from_numpy, eigsh(matrix, size, sigma=BELOW_ZERO, v0=start))
        values, order = values.sort()
        vectors.append(basis[:, order].contiguous())
        smooth = 1 / DISPLACEMENT_METERS**2 + (values / ROUGHNESS_METERS) ** 2
        precision.append(DISPLACEMENT_WEIGHT / (3 * hand.num_vertices) * smooth)
    return Modes(tuple(vectors), torch.stack(precision))


def no_modes(surface: HandSurface) -> Modes:
    """For a fit in which no vertex moves by itself."""
    still = tuple(torch.zeros(hand.num_vertices, 1, dtype=torch.float64) for hand in surface.hands)
    return Modes(still, torch.ones(len(still), 1, dtype=torch.float64))


class Problem:
    """Normal equations of a fit, and steps that solve them.

    Args:
        surface: The hands, in float64.
        terms: Joints and calibration.
        intrinsics: K, pixels.
        modes: Smooth displacements.
    """

    def __init__(
        self, surface: HandSurface, terms: JointTerms, intrinsics: Float[Tensor, "C 3 3"], modes: Modes
    ) -> None:
        self.surface, self.intrinsics, self.modes = surface, intrinsics.double(), modes
        self.terms = JointTerms(**{key: value.double() for key, value in vars(terms).items()})
        self.prior = PosePrior.of(surface, lifted=terms.lifted)
        self.frames, self.hands = terms.point_weights.shape[:2]
        self.cameras = len(terms.world_to_camera)
        self.num_shape = surface.hands[0].num_shape
        self.num_modes = modes.precision.shape[1]
        # Layout of the unknowns: poses, then displacement coefficients, shape, turns, zooms, landmark offsets.
        self.at_modes = POSE_SIZE * self.frames * self.hands
        self.at_shape = self.at_modes + 3 * self.num_modes * self.hands
        self.at_cameras = self.at_shape + self.num_shape
        self.at_zoom = self.at_cameras + 3 * self.cameras
        self.at_offset = self.at_zoom + self.cameras
        self.size = self.at_offset + 63

    def step(self, variables: Variables, pairs: Sequence[Pairs], weights: Weights) -> Variables:
        """One Gauss-Newton step.

        Args:
            variables: Where to linearise, float64.
            pairs: Matched outlines.
            weights: Of this round.
        """
        matrix = torch.zeros(self.size, self.size, dtype=torch.float64)
        vector = torch.zeros(self.size, dtype=torch.float64)
        self._add_priors(variables, matrix, vector)
        extrinsics = corrected_extrinsics(self.terms.world_to_camera, variables.camera_rotation)
        there = [(frame, hand) for hand in range(self.hands) for frame in range(self.frames)]
        there = [at for at in there if variables.valid[at]]
        with ThreadPoolExecutor(WORKERS) as pool:
            for linear in pool.map(lambda at: self._linearize(variables, *at, shape=weights.shape), there):
                self._add_joints(linear, extrinsics, weights, matrix, vector)
                self._add_points(linear, weights, matrix, vector)
                self._add_outlines(linear, extrinsics, variables.camera_zoom, pairs, weights, matrix, vector)
        free = self._free(variables, weights)
        reduced = matrix[free][:, free]
        reduced = reduced + torch.diag(DAMPING * reduced.diagonal() + 1e-9)
        delta = torch.zeros(self.size, dtype=torch.float64)
        delta[free] = -torch.cholesky_solve(vector[free, None], torch.linalg.cholesky(reduced))[:, 0]
        return self._moved(variables, delta)

    def _pose_columns(self, frame: int, hand: int) -> Tensor:
        return torch.arange(POSE_SIZE) + POSE_SIZE * (frame * self.hands + hand)

    def _mode_columns(self, hand: int) -> Tensor:
        return self.at_modes + 3 * self.num_modes * hand + torch.arange(3 * self.num_modes)

    def _free(self, variables: Variables, weights: Weights) -> Bool[Tensor, " N"]:
        free = torch.ones(self.size, dtype=torch.bool)
        free[: self.at_modes] = variables.valid.reshape(-1).repeat_interleave(POSE_SIZE)
        free[self.at_modes : self.at_shape] = weights.displacement
        free[self.at_shape : self.at_cameras] = weights.shape
        free[self.at_cameras : self.at_zoom] = weights.cameras
        free[self.at_zoom : self.at_offset] = weights.zoom
        free[self.at_offset :] = weights.landmarks
        return free

    def _linearize(self, variables: Variables, frame: int, hand: int, *, shape: bool) -> _LinearHand:
        """Vertices and landmarks of one posed hand with their derivatives by pose (and shape), by forward differences
        in float64."""
        model = self.surface.hands[hand]
        part = self.surface.vertex_slices[hand]
        start = torch.cat(
            [
                variables.global_orient[frame, hand],
                variables.local_rotations[frame, hand].reshape(-1),
                variables.translation[frame, hand],
                variables.shape,
            ]
        )
        count = len(start) if shape else POSE_SIZE
        x = start + STEP * torch.eye(count + 1, len(start), dtype=torch.float64).roll(1, 0)
        x[0] = start
        posed = pose_hand(
            model,
            x[:, :3],
            x[:, 3:48].reshape(-1, 15, 3),
            x[:, 48:POSE_SIZE],
            x[:, POSE_SIZE:],
            variables.displacement[part],
        )
        transforms = posed.bone_transforms
        joints = posed.keypoints + landmark_shift(transforms, variables.landmark_offset, model.side)
        # The offset enters linearly: its jacobian holds the shifts by unit offsets.
        units = torch.eye(3, dtype=torch.float64)[:, None].expand(3, 21, 3)
        offset_jacobian = torch.stack([landmark_shift(transforms[0], unit, model.side) for unit in units], -1)
        return _LinearHand(
            frame=frame,
            hand=hand,
            first_vertex=part.start,
            vertices=posed.vertices[0],
            vertex_jacobian=((posed.vertices[1:] - posed.vertices[0]) / STEP).permute(1, 2, 0).contiguous(),
            blended=torch.einsum("vj,jrc->vrc", model.weights, transforms[0, :, :3, :3]),
            joints=joints[0],
            joint_jacobian=((joints[1:] - joints[0]) / STEP).permute(1, 2, 0),
            offset_jacobian=offset_jacobian,
        )

    def _shared_columns(self, linear: _LinearHand) -> Tensor:
        """The unknowns by which a hand was linearised: its pose, and the shape where that is free."""
        pose = self._pose_columns(linear.frame, linear.hand)
        return torch.cat([pose, self.at_shape + torch.arange(linear.joint_jacobian.shape[-1] - POSE_SIZE)])

    def _add_joints(
        self, linear: _LinearHand, extrinsics: Tensor, weights: Weights, matrix: Tensor, vector: Tensor
    ) -> None:
        """Distances between landmarks and detected rays."""
        frame, hand, terms = linear.frame, linear.hand, self.terms
        for camera in range(self.cameras):
            rotation, translation = extrinsics[camera, :3, :3], extrinsics[camera, :3, 3]
            rays = terms.rays[frame, camera, hand]
            across = torch.eye(3, dtype=torch.float64) - rays[:, :, None] * rays[:, None, :]
            point = linear.joints @ rotation.T + translation
            residual = (across @ point[..., None])[..., 0]
            worth = weights.joints * terms.ray_weights[frame, camera, hand] * _joint_worth(residual)
            if not bool((worth > 0).any()):
                continue
            toward = across @ rotation
            rows = [toward @ linear.joint_jacobian]
            columns = [self._shared_columns(linear)]
            if weights.cameras:
                rows.append(across @ -skew(point))
                columns.append(self.at_cameras + 3 * camera + torch.arange(3))
            self._add_landmarks(linear, toward, rows, columns, weights)
            _accumulate(matrix, vector, columns, rows, residual, worth)

    def _add_points(self, linear: _LinearHand, weights: Weights, matrix: Tensor, vector: Tensor) -> None:
        """Distances between landmarks and joints that were measured in space."""
        residual = linear.joints - self.terms.points[linear.frame, linear.hand]
        known = self.terms.space_weights[linear.frame, linear.hand]
        worth = weights.joints * known * _joint_worth(known.sqrt()[:, None] * residual)
        if not bool((worth > 0).any()):
            return
        rows, columns = [linear.joint_jacobian], [self._shared_columns(linear)]
        self._add_landmarks(linear, torch.eye(3, dtype=torch.float64).expand(21, 3, 3), rows, columns, weights)
        _accumulate(matrix, vector, columns, rows, residual, worth)

    def _add_landmarks(
        self, linear: _LinearHand, toward: Tensor, rows: list[Tensor], columns: list[Tensor], weights: Weights
    ) -> None:
        """Appends how the places of the landmarks move the residuals of the 21 joints, where they may change."""
        if weights.landmarks:
            offsets = torch.zeros(21, 3, 21, 3, dtype=torch.float64)
            offsets[range(21), :, range(21)] = toward @ linear.offset_jacobian
            rows.append(offsets.reshape(21, 3, 63))
            columns.append(self.at_offset + torch.arange(63))

    def _add_outlines(
        self, linear: _LinearHand, extrinsics: Tensor, zoom: Tensor, pairs: Sequence[Pairs], weights: Weights,
        matrix: Tensor, vector: Tensor,
    ) -> None:  # fmt: skip
        """Distances of outline points from tangent lines, in metres at the depth of the hand."""
        frame, hand, scale = linear.frame, linear.hand, weights.outline_scale
        intrinsics, count = zoomed_intrinsics(self.intrinsics, zoom), len(linear.vertices)
        shown: list[_Shown] = []
        for pair in pairs:
            mine = (pair.ends[:, 0] >= linear.first_vertex) & (pair.ends[:, 0] < linear.first_vertex + count)
            if pair.frame != frame or not bool(mine.any()):
                continue
            ends, normals = pair.ends[mine] - linear.first_vertex, pair.normals[mine]
            shares = torch.stack([1 - pair.fraction[mine], pair.fraction[mine]], 1)
            rotation, translation = extrinsics[pair.camera, :3, :3], extrinsics[pair.camera, :3, 3]
            k = intrinsics[pair.camera]
            world = (shares[..., None] * linear.vertices[ends]).sum(1)
            point = world @ rotation.T + translation
            pixels = point @ k.T
            pixels = pixels[:, :2] / pixels[:, 2:]
            size = point[:, 2] / k[0, 0]
            residual = ((pixels - pair.points[mine]) * normals).sum(-1) * size
            # Derivative of the pixel along the normal by the point in camera axes, times metres per pixel.
            slope_xy = normals @ k[:2, :2] / k[0, 0]
            slope = torch.cat([slope_xy, -(slope_xy * point[:, :2]).sum(-1, keepdim=True) / point[:, 2:]], -1)
            toward = shares[..., None] * (slope @ rotation)[:, None]
            by_vertex = _sparse(toward.flatten(1), (3 * ends[..., None] + torch.arange(3)).flatten(1), 3 * count)
            rows = [torch.from_numpy(by_vertex @ linear.vertex_jacobian.flatten(0, 1).numpy())]
            columns = [self._shared_columns(linear)]
            if weights.cameras:
                rows.append(torch.linalg.cross(point, slope))
                columns.append(self.at_cameras + 3 * pair.camera + torch.arange(3))
            if weights.zoom:
                # Lengths in the picture grow from the principal point.
                rows.append((((pixels - k[:2, 2]) * normals).sum(-1) * size)[:, None])
                columns.append(torch.tensor([self.at_zoom + pair.camera]))
            worth = pair.weight * pair.length * size / CORRELATION_METERS
            worth = worth / (1 + (residual / scale) ** 2) ** 2 / max(OUTLINE_METERS, scale / 3) ** 2
            _accumulate(matrix, vector, columns, rows, residual, worth)
            if weights.displacement:
                moved = (toward[:, :, None] @ linear.blended[ends])[:, :, 0]
                shown.append(_Shown(ends, moved, torch.cat(rows, -1), torch.cat(columns), residual, worth))
        if shown:
            self._add_displacement(hand, shown, matrix, vector)

    def _add_displacement(self, hand: int, shown: Sequence[_Shown], matrix: Tensor, vector: Tensor) -> None:
        """What outlines say of a hand's displacement: first by vertex, of which there are fewer than points, and which
        each point knows two of; then by mode."""
        basis, columns = self.modes.vectors[hand].numpy(), self._mode_columns(hand).reshape(3, -1)
        beside = torch.cat([one.columns for one in shown]).unique()
        ends = torch.cat([one.ends for one in shown])
        roots = torch.cat([one.worth for one in shown]).sqrt()[:, None]
        moved = torch.cat([one.moved for one in shown]).unbind(-1)
        by_vertex = [_sparse(roots * along, ends, len(basis)) for along in moved]
        # What goes with the displacement: the other unknowns, and at last the residual.
        rows = torch.zeros(len(ends), len(beside) + 1, dtype=torch.float64)
        for one, part in zip(shown, rows.split([len(one.ends) for one in shown]), strict=True):
            part[:, torch.searchsorted(beside, one.columns)] = one.rows
            part[:, -1] = one.residual
        rows = (roots * rows).numpy()
        for axis, along in enumerate(by_vertex):
            mine = columns[axis]
            block = torch.from_numpy(basis.T @ (along.T @ rows))
            matrix[mine[:, None], beside] += block[:, :-1]
            matrix[beside[:, None], mine] += block[:, :-1].T
            vector[mine] += block[:, -1]
            for other, across in enumerate(by_vertex):
                matrix[mine[:, None], columns[other]] += torch.from_numpy(basis.T @ ((along.T @ across) @ basis))

    def _add_priors(self, variables: Variables, matrix: Tensor, vector: Tensor) -> None:
        def diagonal(columns: Tensor, values: Tensor, precision: Tensor) -> None:
            matrix[columns, columns] += precision.reshape(-1)
            vector[columns] += (precision * values).reshape(-1)

        for frame in range(self.frames):
            for hand in range(self.hands):
                # Angles are orthogonal turns of rotation vectors, so that these rows are exact.
                axes, limits = self.prior.axes[hand], self.prior.limits[hand]
                angles = (axes @ variables.local_rotations[frame, hand][..., None])[..., 0]
                beyond = (angles - limits[..., 1]).relu() - (limits[..., 0] - angles).relu()
                columns = self._pose_columns(frame, hand)[3:48].reshape(15, 3)
                soft = torch.full_like(angles, LIMIT_RADIANS)
                for residual, sigma in ((angles, self.prior.usual[hand]), (beyond, soft)):
                    active = (residual != 0) / sigma.double() ** 2
                    for joint in range(15):
                        _accumulate(matrix, vector, [columns[joint]], [axes[joint]], residual[joint], active[joint])
        for hand, part in enumerate(self.surface.vertex_slices):
            coefficients = self.modes.vectors[hand].T @ variables.displacement[part]
            precision = self.modes.precision[hand].expand(3, -1)
            diagonal(self._mode_columns(hand), coefficients.T, precision)
        shape = variables.shape
        diagonal(self.at_shape + torch.arange(self.num_shape), shape, torch.full_like(shape, SHAPE_PRIOR))
        turn = variables.camera_rotation
        weight = CAMERA_PRIOR_WEIGHT_IN_SPACE if self.terms.space_weights.any() else CAMERA_PRIOR_WEIGHT
        precision = weight / (CAMERA_PRIOR_RADIANS**2 + (turn**2).sum(-1, keepdim=True))
        diagonal(self.at_cameras + torch.arange(3 * self.cameras), turn, precision.expand(-1, 3))
        zoom = variables.camera_zoom
        diagonal(self.at_zoom + torch.arange(self.cameras), zoom, ZOOM_PRIOR_WEIGHT / (ZOOM_PRIOR**2 + zoom**2))
        offset = variables.landmark_offset
        diagonal(self.at_offset + torch.arange(63), offset, torch.full_like(offset, LANDMARK_OFFSET_METERS**-2))

    def _moved(self, variables: Variables, delta: Tensor) -> Variables:
        pose = delta[: self.at_modes].reshape(self.frames, self.hands, POSE_SIZE)
        modes = delta[self.at_modes : self.at_shape].reshape(self.hands, 3, self.num_modes)
        turn = delta[self.at_cameras : self.at_zoom].reshape(-1, 3)
        turned = rotation_matrix(turn) @ rotation_matrix(variables.camera_rotation)
        return replace(
            variables,
            global_orient=variables.global_orient + pose[..., :3],
            local_rotations=variables.local_rotations + pose[..., 3:48].unflatten(-1, (15, 3)),
            translation=variables.translation + pose[..., 48:],
            shape=variables.shape + delta[self.at_shape : self.at_cameras],
            displacement=variables.displacement
            + torch.cat([basis @ modes[hand].T for hand, basis in enumerate(self.modes.vectors)]),
            camera_rotation=rotation_vector(turned),
            camera_zoom=variables.camera_zoom + delta[self.at_zoom : self.at_offset],
            landmark_offset=variables.landmark_offset + delta[self.at_offset :].reshape(21, 3),
        )


def _joint_worth(residual: Float[Tensor, "21 3"]) -> Float[Tensor, "21"]:
    """What the distance of each joint is worth, less the further it is off."""
    return 1 / (1 + (residual**2).sum(-1) / DETECTION_METERS**2 / 9) ** 2 / DETECTION_METERS**2


def _accumulate(
    matrix: Tensor,
    vector: Tensor,
    columns: Sequence[Int[Tensor, " _"]],
    rows: Sequence[Float[Tensor, "*R _"]],
    residual: Float[Tensor, "*R"],
    worth: Float[Tensor, "*W"],
) -> None:
    """Adds weighted rows of a linearised residual to the normal equations.

    Args:
        matrix: Of the normal equations.
        vector: Their right side.
        columns: Unknowns that each block of rows belongs to; none twice.
        rows: Blocks of derivatives.
        residual: What is to vanish.
        worth: Weights of the residuals, or one for all of a last axis.
    """
    block, unknowns = torch.cat(list(rows), -1).flatten(0, -2), torch.cat(list(columns))
    worth = worth.repeat_interleave(residual.numel() // worth.numel())
    weighted = block * worth[:, None]
    matrix[unknowns[:, None], unknowns] += weighted.T @ block
    vector[unknowns] += weighted.T @ residual.flatten()


def _sparse(values: Float[Tensor, "P N"], columns: Int[Tensor, "P N"], width: int) -> csr_array:
    """A matrix [P, width] with N entries in each row."""
    number, each = values.shape
    starts = np.arange(0, each * number + 1, each)
    return csr_array((values.flatten().numpy(), columns.flatten().numpy(), starts), shape=(number, width))
