"""Forecasters: what continues a window of frames by as many as are wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.motion.forecasting.mixer import Mixer
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.representations import HandAngles, JointPositions, Representation
from nerfstudio_hands.motion.forecasting.simlpe import Simlpe, SimlpeConfig
from nerfstudio_hands.motion.forecasting.skeleton import Skeleton

Numbers = Literal["angles", "relative", "absolute"]
Network = Literal["mixer", "simlpe"]

LEAST_SPREAD = 0.01
"""Radians or decimetres below which a number is not spread any further: it hardly moves."""

FRAMES_A_DRAW = 8
"""After so many frames of a continuation that was drawn another one is."""

TEMPERATURE = 2.0
"""Chances by which continuations are drawn are evened out by it: a window that has come to rest says rest too often."""


@dataclass(frozen=True)
class ForecasterConfig:
    """What a forecaster reads and says."""

    network: Network = "mixer"
    numbers: Numbers = "angles"
    """`angles` of a hand with its wrist, whose forecasts are pose tracks; or joint positions, `relative` to the wrist
    or `absolute`."""
    num_joints: int = 21
    """Of joint positions."""
    fps: float = 30.0
    """Frames a second."""
    frames_in: int = 10
    """Frames that are read."""
    frames_out: int = 25
    """Frames that are learned."""
    step: int = 25
    """Frames that are said at once: all of them, or fewer, which are then read in turn to say the next
    (autoregression)."""
    futures: int = 0
    """Further continuations besides the most probable one, from which one is drawn where a hand is to go on for
    long."""
    mixer: MixerConfig = field(default_factory=MixerConfig)
    simlpe: SimlpeConfig = field(default_factory=SimlpeConfig)

    @property
    def representation(self) -> Representation:
        """What its numbers mean."""
        if self.numbers == "angles":
            return HandAngles(Skeleton.of(default_hand("right")))
        return JointPositions(self.num_joints, self.numbers == "absolute")


class Predictor(Protocol):
    """What continues states; all models and baselines of a comparison do."""

    def __call__(self, states: Float[Tensor, "B T S"], count: int) -> Float[Tensor, "B N S"]: ...


class Forecaster(nn.Module):
    """A network and what its numbers mean.

    Args:
        config: What it is to be.

    Raises:
        HandsError: The configuration contradicts itself.
    """

    center: Float[Tensor, " D"]
    spread: Float[Tensor, " D"]

    def __init__(self, config: ForecasterConfig):
        super().__init__()
        _check(config)
        self.config = config
        self.representation = config.representation
        width = self.representation.width
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        if config.network == "mixer":
            self.network = Mixer(width, config.frames_in, config.step, 1 + config.futures, config.mixer)
            self.likelihood = nn.Linear(config.frames_in * width, config.futures) if config.futures else None
        else:
            self.network = Simlpe(width, config.frames_in, config.step, config.simlpe)
            self.likelihood = None

    def fit_scales(self, states: Float[Tensor, "B T S"]) -> None:
        """Learns what numbers are usual, from whole windows: the network sees them with mean zero and spread one, and
        begins with what is linear in time."""
        features = self.representation.encode(states, states[:, self.config.frames_in - 1])
        self.center.copy_(features.mean(dim=(0, 1)))
        self.spread.copy_(features.std(dim=(0, 1)).clamp_min(LEAST_SPREAD))
        seen, begin = (features - self.center) / self.spread, self.config.frames_in
        self.network.fit_linear(seen[:, :begin], seen[:, begin : begin + self.config.step])

    def encode(self, states: Float[Tensor, "*B T S"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T D"]:
        """What the network sees of states."""
        return (self.representation.encode(states, anchor) - self.center) / self.spread

    def decode(self, features: Float[Tensor, "*B T D"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T S"]:
        """States of what the network says; inverse of `encode`."""
        return self.representation.decode(features * self.spread + self.center, anchor)

    def continued(
        self, features: Float[Tensor, "B T D"], count: int, truth: Float[Tensor, "B N D"] | None = None
    ) -> Float[Tensor, "B N D"]:
        """The most probable continuation, step by step: what has been said is read in turn.

        Args:
            features: At least `frames_in` frames.
            count: N.
            truth: What really comes; where given it is read in place of what has been said (teacher forcing).
        """
        said: list[Tensor] = []
        step, window = self.config.step, self.config.frames_in
        while len(said) * step < count:
            said.append(self.network(features[:, -window:])[:, 0])
            begin = (len(said) - 1) * step
            features = torch.cat([features, said[-1] if truth is None else truth[:, begin : begin + step]], dim=1)
        return torch.cat(said, dim=1)[:, :count]

    @torch.no_grad()
    def forecast(self, states: Float[Tensor, "B T S"], count: int) -> Float[Tensor, "B N S"]:
        """The most probable continuation of states, by as many frames as wanted.

        After every `frames_out` frames, which is what training has seen, what has been said is read as if it were
        given.
        """
        self._check_length(states)
        given, window = states.shape[1], self.config.frames_in
        while states.shape[1] - given < count:
            anchor = states[:, -1]
            said = self.continued(self.encode(states[:, -window:], anchor), self.config.frames_out)
            states = torch.cat([states, self.decode(said, anchor)], dim=1)
        return states[:, given : given + count]

    @torch.no_grad()
    def forecast_drawn(
        self, states: Float[Tensor, "B T S"], count: int, generator: torch.Generator
    ) -> Float[Tensor, "B N S"]:
        """One of the continuations that there may be: the most probable one tends to come to rest.

        So does each of the others in its later frames, as it stands for all that are like it. Therefore another one is
        drawn every `FRAMES_A_DRAW` frames, which takes over within as many.

        Args:
            states: At least `frames_in` frames.
            count: N.
            generator: Draws which.

        Raises:
            HandsError: It has learned a single continuation.
        """
        if self.likelihood is None:
            raise HandsError(
                "forecaster: expected one that was trained with --futures, of which one is drawn, found one without: "
                "give another --checkpoint."
            )

        self._check_length(states)
        given, count_a_draw = states.shape[1], max(1, min(FRAMES_A_DRAW, self.config.frames_out // 2))
        share = torch.arange(1, count_a_draw + 1)[:, None] / (count_a_draw + 1)
        before = None
        while states.shape[1] - given < count:
            anchor = states[:, -1]
            window = self.encode(states[:, -self.config.frames_in :], anchor)
            chance = (self.likelihood(window.flatten(1)) / TEMPERATURE).softmax(dim=-1)
            chosen = torch.multinomial(chance, 1, generator=generator)[:, 0]
            said = self.network(window)[torch.arange(len(window)), 1 + chosen]
            if before is not None and before.shape[1] >= count_a_draw:
                head, tail = said[:, :count_a_draw], said[:, count_a_draw:]
                head = torch.lerp(self.encode(before[:, :count_a_draw], anchor), head, share)
                said = torch.cat([head, tail], dim=1)
            continued = self.decode(said, anchor)
            states, before = torch.cat([states, continued[:, :count_a_draw]], dim=1), continued[:, count_a_draw:]
        return states[:, given : given + count]

    def _check_length(self, states: Float[Tensor, "B T S"]) -> None:
        given, window = states.shape[1], self.config.frames_in
        if given < window:
            raise HandsError(
                f"forecaster: expected at least {window} frames to go on from, found {given}: give a longer track."
            )


def _check(config: ForecasterConfig) -> None:
    if config.network == "mixer" and not (config.mixer.mix_time or config.mixer.mix_pose):
        raise HandsError("forecaster: expected a convolution along time or along the pose, found neither: turn one on.")
    kernels = (config.mixer.time_kernel, config.mixer.pose_kernel, config.mixer.cross_kernel)
    if config.network == "mixer" and not all(size % 2 for size in kernels):
        raise HandsError(
            f"forecaster: expected odd kernels, which are padded evenly, found {', '.join(map(str, kernels))}: give "
            "odd ones."
        )
    if config.futures and (config.step != config.frames_out or config.network != "mixer"):
        raise HandsError(
            "--futures: expected a mixer that says all frames at once, found another: leave --futures out, or give "
            f"--step {config.frames_out}."
        )
