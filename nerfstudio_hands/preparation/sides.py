"""Which hand is the left and which the right one: decided over all cameras and frames, never in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.captures.landmark_files import ImageLandmarks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import DetectedHand
from nerfstudio_hands.preparation.across_cameras import MAX_MISS, join_tracklets, lonely_cameras, meeting_points, misses
from nerfstudio_hands.preparation.tracklets import Tracklet, follow_hands

STATED_SIDE = 0.9
"""Probability of a side that another program states without saying how sure it is."""

ONE_HAND_LOG_ODDS = 6.0
"""Where no picture shows two hands, all show one hand rather than now this and now that one; two sure pictures of a
hand outweigh this."""

SURE_LOG_ODDS, SURE_COUNT = 2.0, 5
"""Mean of the log-odds from which on so many pictures of a hand cannot be wrong about its side."""

OVERLAP = 0.2
"""Part of the pictures of a hand that show another one, too, from which on these are two hands; fewer are slips."""

MIN_BEND, MOST = 0.05, 0.7
"""Mean bend of the fingers from which on it tells a left from a right hand, and in how many of the frames."""

MAX_COMPARED = 40
"""Frames whose joints in space are looked at, evenly chosen."""


@dataclass(frozen=True)
class SidedHands:
    """Hands of all frames and cameras by their anatomical side, in the order left, right; T frames, C cameras.

    Attributes:
        pixels: The 21 landmarks in MediaPipe order; the centre of the upper left pixel is (0.5, 0.5). NaN where absent.
        metric: The same in metres about each hand's own centre, camera axes; NaN where absent.
        score: Probability that there is a hand; NaN where absent.
        problems: A sentence for each finding.
    """

    pixels: Float[np.ndarray, "T C 2 21 2"]
    metric: Float[np.ndarray, "T C 2 21 3"]
    score: Float[np.ndarray, "T C 2"]
    problems: list[str]

    def picture(self, frame: int, camera: int) -> ImageLandmarks:
        """The landmarks of one picture."""
        return ImageLandmarks(self.pixels[frame, camera], self.metric[frame, camera], self.score[frame, camera])


def stated_hands(landmarks: ImageLandmarks) -> list[DetectedHand]:
    """Hands of a file that names their sides, which are then a vote like that of a network."""
    return [
        DetectedHand(
            pixels=landmarks.pixels[side],
            depth=landmarks.metric[side, :, 2],
            score=float(np.nan_to_num(landmarks.score[side], nan=1.0)),
            right=STATED_SIDE if side else 1 - STATED_SIDE,
            metric=landmarks.metric[side],
        )
        for side in range(2)
        if np.isfinite(landmarks.pixels[side]).all()
    ]


def decide_sides(
    hands: Sequence[Sequence[Sequence[DetectedHand]]],
    names: Sequence[str],
    cameras: Sequence[CaptureCamera] | None = None,
) -> SidedHands:
    """Decide which hands are the left and the right one of a person.

    Hands are followed through the frames of each camera and, where cameras are calibrated, put together across them by
    the meeting of their rays. Hands that are seen together are a left and a right one; which is which is said by the
    summed log-odds of all their pictures, compared with the exchange. Joints in space have the last word: fingers bend
    to one side only.

    Args:
        hands: Of each of T frames, in order of time, the hands in the picture of each of C cameras.
        names: Name of each camera, for sentences.
        cameras: Calibrated cameras in any unit, pictures without distortion; None where nobody knows them.
    """
    bridged = cameras is not None and len(cameras) > 1
    tracklets = [
        tracklet
        for camera in range(len(names))
        for tracklet in follow_hands(camera, [frame[camera] for frame in hands], others_bridge=bridged)
    ]
    problems: list[str] = []
    groups = [[tracklet] for tracklet in tracklets]
    if cameras is not None:
        groups = _without_strangers(join_tracklets(tracklets, cameras), cameras, problems)
    kept = _one_person(sorted(groups, key=lambda group: -sum(t.presence for t in group)), problems)
    sides = _sides_of_groups(kept, problems)
    table = _table(kept, sides, (len(hands), len(names)))
    if cameras is not None:
        reassign(table, names, cameras, problems)
        _check_bend(table, cameras, problems)
    return _record(table, problems)


def _without_strangers(
    groups: list[list[Tracklet]], cameras: Sequence[CaptureCamera], problems: list[str]
) -> list[list[Tracklet]]:
    """The hands without those of cameras that show other hands, or mirror images, than all others."""
    mirrored, strange = lonely_cameras(groups, cameras)
    problems += [
        f"Camera {cameras[index].name}: its hands meet those of the other cameras once its pictures are mirrored, and "
        "were left out; switch the mirroring off, or mirror the pictures back."
        for index in mirrored
    ]
    problems += [
        f"Camera {cameras[index].name}: its hands meet those of no other camera; look whether its pictures are its own "
        "and its calibration is right."
        for index in strange
    ]
    return [group for group in groups if group[0].camera not in mirrored]


def _places(group: Sequence[Tracklet]) -> set[tuple[int, int]]:
    """Frames and cameras in which a hand was found."""
    return {(frame, tracklet.camera) for tracklet in group for frame in tracklet.hands}


def _together(one: Sequence[Tracklet], other: Sequence[Tracklet]) -> bool:
    """Whether two hands are seen in the same pictures, beyond slips of the detector."""
    first, second = _places(one), _places(other)
    return len(first & second) > OVERLAP * min(len(first), len(second))


def _log_odds(group: Sequence[Tracklet]) -> float:
    return sum(tracklet.log_odds for tracklet in group)


def _surely(group: Sequence[Tracklet]) -> int:
    """1 for what can only be a right hand, -1 for a left one, 0 otherwise."""
    count, log_odds = len(_places(group)), _log_odds(group)
    return int(np.sign(log_odds)) if count >= SURE_COUNT and abs(log_odds) > SURE_LOG_ODDS * count else 0


def _one_person(groups: Sequence[list[Tracklet]], problems: list[str]) -> list[list[Tracklet]]:
    """The hands of the person seen most: of hands that are seen together, two at most, and those no two of a side."""
    kept: list[list[Tracklet]] = []
    crowd: set[tuple[int, int]] = set()
    twins: set[tuple[int, int]] = set()
    for group in groups:
        seen = [other for other in kept if _together(group, other)]
        same = [other for other in seen if _surely(group) and _surely(group) == _surely(other)]
        if any(_together(a, b) for a, b in combinations(seen, 2)):
            crowd |= _places(group)
        elif same:
            twins |= _places(group)
        else:
            kept.append(group)
    if crowd:
        problems.append(
            f"{len(crowd)} pictures show more than two hands; those of the person seen most and largest were kept."
        )
    if twins:
        problems.append(
            f"{len(twins)} pictures show two hands of one side, of two people or one in a mirror; the larger was kept."
        )
    return kept


def _sides_of_groups(groups: Sequence[list[Tracklet]], problems: list[str]) -> list[int]:
    """Side of each hand: hands seen together are opposite, and all that hangs together is exchanged together."""
    together = np.zeros((len(groups), len(groups)), dtype=bool)
    for a, b in combinations(range(len(groups)), 2):
        together[a, b] = together[b, a] = _together(groups[a], groups[b])
    prior = 0.0 if together.any() else ONE_HAND_LOG_ODDS * np.sign(sum(map(_log_odds, groups)))
    signs = np.zeros(len(groups), dtype=int)
    unsure = 0
    for start in range(len(groups)):
        if signs[start]:
            continue
        members = _colored(start, together, signs)
        total = sum(signs[index] * _log_odds(groups[index]) for index in members) + prior
        unsure += sum(len(_places(groups[index])) for index in members) * (abs(total) < SURE_LOG_ODDS)
        signs[members] *= -1 if total < 0 else 1
    if unsure:
        problems.append(f"In {unsure} pictures it is hardly more likely than the exchange which hand is the left one.")
    return [int(sign > 0) for sign in signs]


def _colored(start: int, together: np.ndarray, signs: np.ndarray) -> list[int]:
    """Gives opposite signs to hands that are seen together, from one on; returns all that hang together with it."""
    signs[start] = 1
    members = [start]
    for index in members:
        for other in np.flatnonzero(together[index]):
            if not signs[other]:
                signs[other] = -signs[index]
                members.append(int(other))
    return members


Table = list[list[list[DetectedHand | None]]]
"""Hand of each frame, camera and side."""


def _table(groups: Sequence[list[Tracklet]], sides: Sequence[int], shape: tuple[int, int]) -> Table:
    """Hands by frame, camera and side; of two slips in one place the surer."""
    table: Table = [[[None, None] for _ in range(shape[1])] for _ in range(shape[0])]
    for group, side in zip(groups, sides, strict=True):
        for tracklet in group:
            for frame, hand in tracklet.hands.items():
                there = table[frame][tracklet.camera][side]
                if there is None or there.score < hand.score:
                    table[frame][tracklet.camera][side] = hand
    return table


def reassign(table: Table, names: Sequence[str], cameras: Sequence[CaptureCamera], problems: list[str]) -> None:
    """Exchanges the sides in pictures whose hands meet the other cameras' hands of the other side far better."""
    moved: dict[int, int] = {}
    for frame in table:
        for camera in sorted(range(len(cameras)), key=lambda c: _agreement(frame[c])):
            if _meets_other_side(frame, camera, cameras):
                frame[camera].reverse()
                moved[camera] = moved.get(camera, 0) + 1
    problems += [
        f"Camera {names[camera]}: hands of {count} pictures were given to the other side, where they meet those of the "
        "other cameras."
        for camera, count in moved.items()
    ]


def _agreement(hands: Sequence[DetectedHand | None]) -> float:
    """How well the sides of one picture's hands agree with what the picture says of them."""
    return sum((hand.right - 0.5) * (1 if side else -1) for side, hand in enumerate(hands) if hand is not None)


def _meets_other_side(
    frame: Sequence[Sequence[DetectedHand | None]], camera: int, cameras: Sequence[CaptureCamera]
) -> bool:
    """Whether exchanging the hands of one picture turns misses into meetings."""
    as_given, exchanged = (
        [
            ((cameras[camera], hand), (cameras[other], match))
            for side, hand in enumerate(frame[camera])
            for other in range(len(cameras))
            if other != camera and hand is not None and (match := frame[other][abs(side - swap)]) is not None
        ]
        for swap in (0, 1)
    )
    if not as_given or not exchanged:
        return False
    before, after = (np.median(misses(*zip(*pairs, strict=True))) for pairs in (as_given, exchanged))
    return bool(after < MAX_MISS and before > max(MAX_MISS, 2 * after))


def bend(joints: Float[np.ndarray, "*N 21 3"]) -> Float[np.ndarray, "*N"]:
    """How far the four fingers are bent, positive towards the palm of a right hand and negative towards that of a left
    one; 0 of a flat hand. A mirror image has the opposite sign, and no scale plays a part.

    Args:
        joints: The 21 joints in right-handed axes of any unit.
    """
    knuckles = joints[..., [5, 9, 13, 17], :]
    lower, upper = (joints[..., [k + 1 for k in (5, 9, 13, 17)], :], joints[..., [k + 2 for k in (5, 9, 13, 17)], :])
    first, second, across = lower - knuckles, upper - lower, joints[..., 5, :] - joints[..., 17, :]
    lengths = [np.linalg.norm(vector, axis=-1) for vector in (first, second)]
    axis = np.cross(first, second) / np.maximum(lengths[0] * lengths[1], 1e-12)[..., None]
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    return (axis * across[..., None, :]).sum(-1).mean(-1)


def _check_bend(table: Table, cameras: Sequence[CaptureCamera], problems: list[str]) -> None:
    """Exchanges all sides where the joints in space are those of the other hand."""
    steps = range(0, len(table), -(-len(table) // MAX_COMPARED) or 1)
    joints = [_joints([hands[side] for hands in table[t]], cameras) for t in steps for side in range(2)]
    expected = [sign for _ in steps for sign in (-1, 1)]
    bends = np.array([sign * bend(points) for sign, points in zip(expected, joints, strict=True) if points is not None])
    if len(bends) and bends.mean() < -MIN_BEND and (bends < 0).mean() > MOST:
        for frame in table:
            for hands in frame:
                hands.reverse()
        problems.append(
            "The detections name the other hand: in space, fingers bend as those of the other side, and the sides were "
            "exchanged; where hands look right nevertheless, pictures or calibration are mirrored."
        )


def _joints(hands: Sequence[DetectedHand | None], cameras: Sequence[CaptureCamera]) -> Float[np.ndarray, "21 3"] | None:
    """Joints of one hand in space, from all pairs of cameras that agree about it; None without such a pair."""
    seen = [(camera, hand) for camera, hand in zip(cameras, hands, strict=True) if hand is not None]
    pairs = list(combinations(seen, 2))
    if not pairs:
        return None
    points, miss = meeting_points(*zip(*pairs, strict=True))
    return np.median(points[miss < MAX_MISS], axis=0) if (miss < MAX_MISS).any() else None


def _record(table: Table, problems: list[str]) -> SidedHands:
    shape = len(table), len(table[0]) if table else 0, 2
    pixels, metric, score = (np.full((*shape, *rest), np.nan) for rest in ((21, 2), (21, 3), ()))
    for t, frame in enumerate(table):
        for c, hands in enumerate(frame):
            for side, hand in enumerate(hands):
                if hand is not None:
                    pixels[t, c, side], metric[t, c, side], score[t, c, side] = hand.pixels, hand.metric, hand.score
    return SidedHands(pixels, metric, score, problems)


def no_hand(where: Path, count: int) -> HandsError:
    """What is said where none of so many pictures shows a hand."""
    return HandsError(
        f"{where}: expected a hand in some picture, found none in {count}: hands should fill a fifth of the picture's "
        "height or more and be lit; `ns-hands detect` draws what it sees."
    )
