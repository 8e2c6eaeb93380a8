"""What people do with a hand, in natural time: ranges of motion, reaching, grasping, counting, chains of signs.

Every movement is one of least jerk (Flash and Hogan, "The coordination of arm movements", J. Neuroscience 1985), and
one that begins before another has ended is added to it (Flash and Henis, "Arm trajectory modifications during reaching
towards visual targets", J. Cognitive Neuroscience 1991). A hand that reaches for something opens widest on its way and
closes as it arrives (Jeannerod, "The timing of natural prehension movements", J. Motor Behavior 1984).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model import gestures
from nerfstudio_hands.hand_model.gestures import Gesture
from nerfstudio_hands.synthesis.range_of_motion import HandMotion, right_motion, wandering, wave

WORKSPACE = np.array([180.0, 140.0, 160.0])
"""Millimeters to each side within which a hand reaches."""

WRIST_RANGE = np.array([55.0, 30.0, 20.0])
"""Degrees to each side by which a wrist turns; axes as of `range_of_motion.Keyframe`."""

WANDERING_HERTZ = (0.11, 0.23, 0.47)
"""Slow waves of a hand that nobody holds still."""

TREMOR_HERTZ = (8.0, 12.0)
"""Of physiological tremor."""

TREMOR_DEGREES = 0.06
TREMOR_MILLIMETERS = 0.08
"""Sizes of that tremor at a joint and at the wrist."""


@dataclass(frozen=True)
class Move:
    """A movement of some numbers to where they end."""

    target: Float[np.ndarray, "*N"]
    start: float
    """Seconds."""
    duration: float
    """Seconds."""


@dataclass(frozen=True)
class Person:
    """How somebody moves."""

    tempo: float
    """Factor on how long movements take."""
    lag: Float[np.ndarray, "15"]
    """Seconds by which each joint begins later than the wrist."""
    extent: float
    """Factor on the angles of gestures."""
    habit: Float[np.ndarray, "15 3"]
    """Degrees that this person's joints always have more than the gesture's."""
    unrest: float
    """Degrees by which joints wander slowly."""

    @staticmethod
    def draw(rng: np.random.Generator) -> Person:
        """Somebody at random."""
        finger_lag = rng.uniform(0.0, 0.06, 5).repeat(3)
        return Person(
            tempo=float(np.exp(rng.normal(0.0, 0.15))),
            lag=finger_lag + np.tile([0.0, 0.012, 0.02], 5),
            extent=float(rng.uniform(0.85, 1.02)),
            habit=rng.normal(0.0, 1.0, (15, 3)) * [4.0, 2.0, 1.0],
            unrest=float(rng.uniform(0.4, 1.5)),
        )


@dataclass
class Take:
    """What a right hand does: movements of its fingers, of its wrist's turn and of its place, in order of time."""

    person: Person
    rng: np.random.Generator
    fingers: list[Move] = field(default_factory=list)
    """To angles in degrees."""
    turns: list[Move] = field(default_factory=list)
    """To degrees as of `range_of_motion.Keyframe`."""
    places: list[Move] = field(default_factory=list)
    """To millimeters."""

    def begin(self, gesture: Gesture) -> None:
        """Where the hand is at time zero."""
        self.fingers.append(Move(gesture, 0.0, 0.0))
        self.turns.append(Move(self.rng.uniform(-0.4, 0.4, 3) * WRIST_RANGE, 0.0, 0.0))
        self.places.append(Move(self.rng.uniform(-0.5, 0.5, 3) * WORKSPACE, 0.0, 0.0))

    def shape(self, gesture: Gesture, start: float, *, haste: float = 1.0) -> float:
        """Bends the fingers into a gesture, the longer the farther they travel; returns when that is done."""
        travel = np.abs(gesture - self.fingers[-1].target).max()
        return self._move(self.fingers, gesture, start, haste * (0.22 + 0.3 * travel / 90.0))

    def turn(self, rotation: Float[np.ndarray, "3"], start: float, *, haste: float = 1.0) -> float:
        """Turns the wrist; returns when that is done."""
        travel = np.abs(rotation - self.turns[-1].target).max()
        return self._move(self.turns, rotation, start, haste * (0.25 + 0.45 * travel / 90.0))

    def reach(self, place: Float[np.ndarray, "3"], start: float, *, haste: float = 1.0) -> float:
        """Carries the hand somewhere; returns when it arrives."""
        travel = float(np.linalg.norm(place - self.places[-1].target))
        return self._move(self.places, place, start, haste * (0.32 + 1.1e-3 * travel))

    def pause(self, mean: float) -> float:
        """Seconds of rest."""
        return self.person.tempo * mean * float(np.exp(self.rng.normal(0.0, 0.5)))

    def some_turn(self, share: float = 1.0) -> Float[np.ndarray, "3"]:
        """A turn of the wrist at random, within a share of its range."""
        return self.rng.uniform(-share, share, 3) * WRIST_RANGE

    def some_place(self, share: float = 1.0) -> Float[np.ndarray, "3"]:
        """A place at random, within a share of the workspace."""
        return self.rng.uniform(-share, share, 3) * WORKSPACE

    def one_of(self, choices: tuple[Gesture, ...]) -> Gesture:
        """A gesture at random."""
        return choices[int(self.rng.integers(len(choices)))]

    def _move(self, moves: list[Move], target: np.ndarray, start: float, seconds: float) -> float:
        duration = self.person.tempo * seconds * float(np.exp(self.rng.normal(0.0, 0.12)))
        moves.append(Move(np.asarray(target, dtype=float), start, duration))
        return start + duration


SLOW = (
    gestures.FIST, gestures.SPREAD, gestures.FLAT, gestures.HOOK, gestures.TABLE, gestures.THUMB_ACROSS,
    *(gestures.flexed(finger) for finger in gestures.CURLED), gestures.flexed("thumb"),
)  # fmt: skip
HANDSHAPES = (
    gestures.FIST, gestures.FLAT, gestures.SPREAD, gestures.HOOK, gestures.CROSSED, gestures.THUMB_ACROSS,
    gestures.OPEN, *(gestures.counting(number) for number in (1, 2, 3, 4)),
    *(gestures.pinch(finger) for finger in gestures.CURLED),
    gestures.flexed("index", "middle"), gestures.flexed("ring", "pinky"), gestures.flexed("middle", "ring"),
)  # fmt: skip
GRIPS = (gestures.GRASP, gestures.pinch("index"), gestures.pinch("middle"), gestures.HALF_CLOSED)


def range_of_motion(take: Take, seconds: float) -> None:
    """One joint or gesture after the other to its end and back, slowly, the wrist turning now and then."""
    take.begin(gestures.OPEN)
    now = take.pause(0.2)
    while now < seconds:
        done = take.shape(take.one_of(SLOW), now, haste=1.7)
        if take.rng.random() < 0.4:
            done = max(done, take.turn(take.some_turn(), now, haste=1.6))
        now = done + take.pause(0.25)
        if take.rng.random() < 0.6:
            now = take.shape(gestures.OPEN, now, haste=1.5) + take.pause(0.15)


def reaching(take: Take, seconds: float) -> None:
    """From place to place, the fingers at ease."""
    take.begin(gestures.RELAXED)
    now = take.pause(0.2)
    while now < seconds:
        arrival = take.reach(take.some_place(), now)
        take.turn(take.some_turn(0.7), now + 0.1 * take.rng.random())
        ease = take.rng.uniform(0.0, 0.6)
        take.shape(gestures.RELAXED + ease * (gestures.HALF_CLOSED - gestures.RELAXED), now + 0.1)
        now = arrival + take.pause(0.3)


def grasping(take: Take, seconds: float) -> None:
    """Reaches for something, opening on the way, closes on it, carries it elsewhere, and lets go."""
    take.begin(gestures.RELAXED)
    now = take.pause(0.2)
    while now < seconds:
        place, grip = take.some_place(), take.one_of(GRIPS)
        arrival = take.reach(place, now)
        take.turn(take.some_turn(0.6), now)
        wide = gestures.SPREAD + take.rng.uniform(0.2, 0.5) * (grip - gestures.SPREAD)
        take.shape(wide, now + 0.05)
        held = max(take.shape(grip, now + 0.65 * (arrival - now)), arrival)
        carried = take.reach(place + take.rng.uniform(-0.6, 0.6, 3) * WORKSPACE, held + take.pause(0.15))
        if take.rng.random() < 0.5:
            take.turn(take.some_turn(0.6), held)
        released = take.shape(gestures.RELAXED, carried + take.pause(0.2))
        now = released + take.pause(0.15)


def counting(take: Take, seconds: float) -> None:
    """Counts on the fingers to a beat that the hand marks."""
    take.begin(gestures.FIST)
    beat = take.person.tempo * take.rng.uniform(0.55, 0.95)
    now = take.pause(0.3)
    middle = take.places[0].target
    while now < seconds:
        for number in (1, 2, 3, 4, 5):
            take.shape(gestures.SPREAD if number == 5 else gestures.counting(number), now)
            low = take.reach(middle - [0.0, 0.0, take.rng.uniform(10.0, 25.0)], now, haste=0.5)
            take.reach(middle, low, haste=0.6)
            now += beat * float(np.exp(take.rng.normal(0.0, 0.06)))
        take.turn(take.some_turn(0.4), now)
        now = take.shape(gestures.FIST, now) + take.pause(0.3)


def signing(take: Take, seconds: float) -> None:
    """One handshape after the other, each begun before the last has quite ended, and rests between chains."""
    take.begin(gestures.OPEN)
    now = take.pause(0.3)
    while now < seconds:
        for _ in range(int(take.rng.integers(3, 8))):
            done = take.shape(take.one_of(HANDSHAPES), now, haste=0.85)
            take.turn(take.some_turn(0.8), now, haste=0.9)
            take.reach(take.some_place(0.5), now, haste=0.9)
            now = now + take.rng.uniform(0.8, 1.15) * (done - now) + take.pause(0.05)
        take.reach(take.some_place(0.4), now)
        now = take.shape(gestures.RELAXED, now) + take.pause(0.4)


KINDS: dict[str, Callable[[Take, float], None]] = {
    "range-of-motion": range_of_motion,
    "reaching": reaching,
    "grasping": grasping,
    "counting": counting,
    "signing": signing,
}
"""What there is to do, by name."""


def perform(kind: str, person: Person, rng: np.random.Generator, times: Float[np.ndarray, "T"]) -> HandMotion:
    """Lets somebody's right hand do something, within the joint limits.

    Args:
        kind: A name of `KINDS`.
        person: Who does it.
        rng: Draws what exactly is done.
        times: Seconds, from 0.

    Returns:
        The motion; its `middle` is the place of the wrist, meters.
    """
    take = Take(person, rng)
    KINDS[kind](take, float(times[-1]))
    angles = person.habit + person.extent * superposed(take.fingers, times[:, None], person.lag)
    angles += person.unrest * wandering(times, WANDERING_HERTZ, (15, 3), rng) * [1.0, 0.5, 0.3]
    angles += TREMOR_DEGREES * wave(times, rng.uniform(*TREMOR_HERTZ), (15, 3), rng)
    still, unrest = np.zeros(1), (person.unrest, 2.0 * person.unrest)
    turns, places = (
        superposed(moves, times[:, None], still) + amount * wandering(times, WANDERING_HERTZ, (3,), rng)
        for moves, amount in zip((take.turns, take.places), unrest, strict=True)
    )
    places += TREMOR_MILLIMETERS * wave(times, rng.uniform(*TREMOR_HERTZ), (3,), rng)
    spin = Rotation.from_euler("ZXY", turns, degrees=True)
    return right_motion(angles, spin, 1e-3 * places)


def minimum_jerk(progress: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
    """Share of the way at a share of the time: 10 t^3 - 15 t^4 + 6 t^5, and at rest before and after."""
    t = np.clip(progress, 0.0, 1.0)
    return t**3 * (10.0 - 15.0 * t + 6.0 * t**2)


def superposed(
    moves: list[Move], times: Float[np.ndarray, "T 1"], lag: Float[np.ndarray, "L"]
) -> Float[np.ndarray, "T *N"]:
    """The sum of movements, of which the first is where it begins.

    Args:
        moves: In order of time; each leads from the target of the one before to its own.
        times: Seconds.
        lag: Seconds by which the rows of a target begin later, or one for all.
    """
    values = np.broadcast_to(moves[0].target, (len(times), *moves[0].target.shape)).copy()
    for before, move in zip(moves, moves[1:], strict=False):
        share = minimum_jerk((times - move.start - lag) / move.duration)
        values += share.reshape(*share.shape, *(1,) * (values.ndim - 2)) * (move.target - before.target)
    return values
