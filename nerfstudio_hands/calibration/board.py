"""Cameras calibrated by a printed board: ChArUco, or a grid of AprilTags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import least_squares
from scipy.sparse import lil_matrix

from nerfstudio_hands.calibration.checked import opencv_intrinsics, rigid
from nerfstudio_hands.calibration.lens import Lens, normalized_points
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

MIN_CORNERS = 8
"""Corners that a picture must show to take part."""

MIN_VIEWS = 4
"""Pictures of a board, held differently, that tell a lens."""

MAX_VIEWS = 60
"""Pictures that a lens is told from; more take long and bring nothing."""

FULL = cv2.CALIB_FIX_K3
"""What OpenCV solves for: a third coefficient of few pictures bends the corners of the picture at will."""

SIMPLE = FULL | cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_ASPECT_RATIO
"""Square pixels and a centered lens, as nearly all cameras have: one that is held the same way in all pictures, as a
phone that is carried round a table, trades the rest against its principal point."""

CLEARLY_BETTER = 0.97
"""Share of the residual of `SIMPLE` below which `FULL` is believed."""

INCH = 0.0254


@dataclass(frozen=True)
class Board:
    """A printed board.

    Attributes:
        kind: "charuco", a chessboard with markers in its white squares, or "april", a grid of AprilTags 36h11.
        columns: Squares or tags across.
        rows: Squares or tags down.
        square: Side of a square, or of a tag, in metres, as printed: measure it.
        gap: Between tags, as a share of their side.
    """

    kind: Literal["charuco", "april"] = "charuco"
    columns: int = 7
    rows: int = 10
    square: float = 0.025
    gap: float = 0.3

    def drawn(self) -> cv2.aruco.CharucoBoard | cv2.aruco.GridBoard:
        """The board as OpenCV knows it; markers are 3/4 of their squares."""
        size = (self.columns, self.rows)
        if self.kind == "charuco":
            markers = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
            return cv2.aruco.CharucoBoard(size, self.square, 0.75 * self.square, markers)
        tags = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
        return cv2.aruco.GridBoard(size, self.square, self.gap * self.square, tags)


@dataclass(frozen=True)
class Corners:
    """Corners of a board in a picture: places on the board in metres (z is 0) and in pixels, whose centres are at
    +0.5."""

    points: Float[np.ndarray, "N 3"]
    pixels: Float[np.ndarray, "N 2"]


@dataclass(frozen=True)
class BoardCalibration:
    """Cameras calibrated by a board.

    Attributes:
        cameras: Of a rig by name, in metres; the world is the board's in the first picture that shows it.
        images: Of a moving camera, the camera of each picture by its name; the world is the board's.
        pixels: Residual of each camera, root of the mean square.
        sentence: For people.
    """

    cameras: dict[str, CalibratedCamera]
    images: dict[str, CalibratedCamera] = field(default_factory=dict)
    pixels: dict[str, float] = field(default_factory=dict)
    sentence: str = ""


def board_image(board: Board, *, dots_per_inch: int = 300) -> UInt8[np.ndarray, "H W"]:
    """A picture to print at 100 %: black on white, with a white margin of half a square."""
    gap = 0.0 if board.kind == "charuco" else board.gap
    dots = board.square / INCH * dots_per_inch
    margin = round(dots) // 2
    sides = [round((count * (1 + gap) - gap) * dots) + 2 * margin for count in (board.columns, board.rows)]
    return board.drawn().generateImage((sides[0], sides[1]), marginSize=margin)


def find_corners(board: Board, image: UInt8[np.ndarray, "H W 3"]) -> Corners | None:
    """Corners of the board in a picture; None where too few are seen."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    drawn = board.drawn()
    if isinstance(drawn, cv2.aruco.CharucoBoard):
        corners, numbers, _, _ = cv2.aruco.CharucoDetector(drawn).detectBoard(gray)
    else:
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_APRILTAG
        corners, numbers, _ = cv2.aruco.ArucoDetector(drawn.getDictionary(), parameters).detectMarkers(gray)
    if numbers is None or len(numbers) == 0:
        return None
    points, pixels = drawn.matchImagePoints(corners, numbers)  # pyright: ignore[reportCallIssue, reportArgumentType]
    if points is None or len(points) < MIN_CORNERS or _in_a_line(points[:, 0]):
        return None
    # OpenCV's detectors of boards count from the corner of the first pixel, unlike the rest of it.
    return Corners(points[:, 0].astype(np.float64), pixels[:, 0].astype(np.float64))


def _in_a_line(points: Float[np.ndarray, "N 3"]) -> bool:
    """Whether points of a plane say nothing of how it lies."""
    return bool(np.linalg.svd(points[:, :2] - points[:, :2].mean(axis=0), compute_uv=False)[1] < 1e-6)


def calibrate_lens(
    name: str, views: Sequence[Corners], size: tuple[int, int], *, fisheye: bool = False
) -> tuple[CalibratedCamera, float]:
    """K and lens of a camera from pictures of a board (Zhang, "A flexible new technique for camera calibration", 2000).

    Args:
        name: Of the camera.
        views: Corners of each picture.
        size: Width and height of the pictures.
        fisheye: Whether the lens is one of wide angle.

    Returns:
        The camera without a place, and the residual in pixels (root of the mean square).

    Raises:
        HandsError: Too few pictures show the board, or from one side only.
    """
    if len(views) < MIN_VIEWS:
        raise HandsError(
            f"{name}: expected the board in at least {MIN_VIEWS} pictures to tell the lens, found it in {len(views)}: "
            "show it near and far, tilted, and in all corners of the picture."
        )
    chosen = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, MAX_VIEWS).round().astype(int))]
    points = [view.points.astype(np.float32)[:, None] for view in chosen]
    pixels = [(view.pixels - PIXEL_CENTER).astype(np.float32)[:, None] for view in chosen]
    try:
        if fisheye:
            flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW
            doubles = [[array.astype(np.float64) for array in arrays] for arrays in (points, pixels)]
            error, k, numbers, _, _ = cv2.fisheye.calibrate(*doubles, size, np.eye(3), np.zeros(4), flags=flags)  # pyright: ignore[reportCallIssue]
        else:
            error, k, numbers = _solved(points, pixels, size, SIMPLE)
            richer = _solved(points, pixels, size, FULL)
            if richer[0] < CLEARLY_BETTER * error:
                error, k, numbers = richer
    except cv2.error as fault:
        raise HandsError(
            f"{name}: expected pictures of the board from different sides, found '{fault.err or fault}': tilt it and "
            "take more pictures."
        ) from fault
    lens = Lens("fisheye" if fisheye else "opencv", tuple(numbers.ravel().tolist()))
    return CalibratedCamera(name, opencv_intrinsics(k), lens, None, size), float(error)


def _solved(
    points: Sequence[np.ndarray], pixels: Sequence[np.ndarray], size: tuple[int, int], flags: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Residual in pixels, K and coefficients."""
    error, k, numbers, _, _ = cv2.calibrateCamera(points, pixels, size, np.eye(3), np.zeros(5), flags=flags)
    return error, k, numbers


def board_place(camera: CalibratedCamera, corners: Corners) -> Float[np.ndarray, "4 4"]:
    """The transform from the board to a camera that sees it, metres."""
    flat = _undistorted(camera, corners.pixels)
    # A plane seen from afar has two places that fit nearly alike; the better one is first.
    _, turns, shifts, _ = cv2.solvePnPGeneric(corners.points, flat, np.eye(3), np.zeros(4), flags=cv2.SOLVEPNP_IPPE)
    turn, shift = cv2.solvePnPRefineLM(corners.points, flat, np.eye(3), np.zeros(4), turns[0], shifts[0])
    return rigid(cv2.Rodrigues(turn)[0], shift[:, 0])


def _undistorted(camera: CalibratedCamera, pixels: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
    return normalized_points(pixels, camera.intrinsics, camera.lens)


def calibrate_moving_camera(
    name: str,
    seen: Mapping[str, Corners],
    size: tuple[int, int],
    *,
    known: CalibratedCamera | None = None,
    fisheye: bool = False,
) -> BoardCalibration:
    """A camera that moves round a board that lies still: its lens, and its place in each picture.

    Args:
        name: Of the camera.
        seen: Corners by picture; pictures without the board get no place.
        size: Width and height of the pictures.
        known: The camera, where its intrinsics are known.
        fisheye: Whether the lens is one of wide angle.

    Raises:
        HandsError: Too few pictures show the board.
    """
    if not seen:
        raise HandsError(f"{name}: expected the board in some picture, found it in none: print it sharp and light it.")
    camera = known if known is not None else calibrate_lens(name, list(seen.values()), size, fisheye=fisheye)[0]
    camera = replace(camera, size=size)
    images = {
        picture: replace(camera, name=picture, world_to_camera=board_place(camera, corners))
        for picture, corners in seen.items()
    }
    error = _root_mean_square([_misses(images[picture], np.eye(4), corners) for picture, corners in seen.items()])
    sentence = f"{len(images)} pictures placed by the board to {error:.2f} px (root of the mean square)."
    return BoardCalibration({name: replace(camera, name=name)}, images, {name: error}, sentence)


def calibrate_rig(
    seen: Mapping[str, Mapping[str, Corners]],
    sizes: Mapping[str, tuple[int, int]],
    *,
    known: Mapping[str, CalibratedCamera] | None = None,
    fisheye: bool = False,
) -> BoardCalibration:
    """Cameras that stand still while a board is moved before them: lenses, and places from pictures that share it.

    Args:
        seen: Corners by camera and by instant; instants are called alike in all cameras.
        sizes: Width and height of the pictures of each camera.
        known: Cameras whose intrinsics are known.
        fisheye: Whether lenses are of wide angle.

    Raises:
        HandsError: A camera sees the board too seldom, or never together with the others.
    """
    known = known or {}
    cameras = {
        name: replace(known[name], size=sizes[name])
        if name in known
        else calibrate_lens(name, list(views.values()), sizes[name], fisheye=fisheye)[0]
        for name, views in seen.items()
    }
    places = {
        (name, instant): board_place(cameras[name], corners)
        for name, views in seen.items()
        for instant, corners in views.items()
    }
    rig, boards = _chained(list(cameras), places)
    rig, boards = _adjusted(cameras, rig, boards, seen)
    placed = {name: replace(camera, world_to_camera=rig[name]) for name, camera in cameras.items()}
    pixels = {
        name: _root_mean_square(
            [_misses(placed[name], boards[i], corners) for i, corners in seen[name].items() if i in boards]
        )
        for name in placed
    }
    listed = ", ".join(f"{name} {error:.2f} px" for name, error in pixels.items())
    sentence = (
        f"{len(placed)} cameras placed by the board in {len(boards)} instants: {listed} (root of the mean square)."
    )
    return BoardCalibration(placed, {}, pixels, sentence)


def _chained(
    names: list[str], places: Mapping[tuple[str, str], Float[np.ndarray, "4 4"]]
) -> tuple[dict[str, Float[np.ndarray, "4 4"]], dict[str, Float[np.ndarray, "4 4"]]]:
    """World-to-camera transforms of all cameras and board-to-world ones of instants, from one to the next."""
    sharing = Counter(instant for _, instant in places)
    # The world is the board where most cameras see it.
    boards = {max(sharing, key=lambda instant: sharing[instant]): np.eye(4)}
    rig: dict[str, Float[np.ndarray, "4 4"]] = {}
    grown = True
    while grown:
        grown = False
        for (name, instant), place in places.items():
            if instant in boards and name not in rig:
                rig[name], grown = place @ np.linalg.inv(boards[instant]), True
            elif name in rig and instant not in boards:
                boards[instant], grown = np.linalg.inv(rig[name]) @ place, True
    lost = [name for name in names if name not in rig]
    if lost:
        raise HandsError(
            f"--method board: expected pictures in which camera {lost[0]} sees the board together with another, found "
            "none: hold the board where two cameras see it at the same instant."
        )
    return rig, boards


def _adjusted(
    cameras: Mapping[str, CalibratedCamera],
    rig: dict[str, Float[np.ndarray, "4 4"]],
    boards: dict[str, Float[np.ndarray, "4 4"]],
    seen: Mapping[str, Mapping[str, Corners]],
) -> tuple[dict[str, Float[np.ndarray, "4 4"]], dict[str, Float[np.ndarray, "4 4"]]]:
    """All cameras and boards moved until corners lie where they are seen; the world's board stays."""
    names, moved = list(rig), [instant for instant, board in boards.items() if not np.array_equal(board, np.eye(4))]
    views = [(name, instant) for name in names for instant in seen[name] if instant in boards]
    blocks = {name: 6 * i for i, name in enumerate(names)} | {(i,): 6 * (len(names) + j) for j, i in enumerate(moved)}

    def read(values: Float[np.ndarray, " P"]):
        turned = {name: _moved(rig[name], values[blocks[name] :][:6]) for name in names}
        return turned, {i: _moved(b, values[blocks[i,] :][:6]) if (i,) in blocks else b for i, b in boards.items()}

    def residuals(values: Float[np.ndarray, " P"]) -> Float[np.ndarray, " R"]:
        turned, lying = read(values)
        return np.concatenate(
            [_misses(replace(cameras[n], world_to_camera=turned[n]), lying[i], seen[n][i]).ravel() for n, i in views]
        )

    ends = np.cumsum([0] + [2 * len(seen[name][instant].points) for name, instant in views])
    sparsity = lil_matrix((ends[-1], 6 * (len(names) + len(moved))), dtype=np.int8)
    for (name, instant), start, end in zip(views, ends[:-1], ends[1:], strict=True):
        for block in (blocks[name], blocks.get((instant,))):
            if block is not None:
                sparsity[start:end, block : block + 6] = 1
    found = least_squares(
        residuals, np.zeros(sparsity.shape[1]), jac_sparsity=sparsity, loss="soft_l1", x_scale="jac", max_nfev=30
    )
    return read(found.x)


def _moved(transform: Float[np.ndarray, "4 4"], move: Float[np.ndarray, "6"]) -> Float[np.ndarray, "4 4"]:
    """A transform after a turn (axis times angle) and a shift."""
    return rigid(cv2.Rodrigues(move[:3].copy())[0] @ transform[:3, :3], transform[:3, 3] + move[3:])


def _misses(camera: CalibratedCamera, board: Float[np.ndarray, "4 4"], corners: Corners) -> Float[np.ndarray, "N 2"]:
    """Pixels, distortion undone, by which corners are seen off where they should lie."""
    transform = camera.transform @ board
    local = corners.points @ transform[:3, :3].T + transform[:3, 3]
    return camera.intrinsics[0, 0] * (local[:, :2] / local[:, 2:] - _undistorted(camera, corners.pixels))


def _root_mean_square(misses: list[Float[np.ndarray, "_ 2"]]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(misses) ** 2) * 2))
