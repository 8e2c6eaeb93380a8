"""Training of a forecaster on windows of recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import disk_fault, written_whole
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig
from nerfstudio_hands.motion.forecasting.metrics import joint_errors
from nerfstudio_hands.motion.forecasting.windows import Recording, Windows
from nerfstudio_hands.training.forecaster_options import ForecasterTraining
from nerfstudio_hands.training.schedules import warmed_up_cosine

MAX_GRADIENT = 1.0
CHECKED_WINDOWS = 512
"""Windows that are looked at while training, spread over all that are kept for it."""

MEASURED_WINDOWS = 4096
"""Windows of which it is found what numbers are usual."""


@dataclass(frozen=True)
class Check:
    """What was seen of windows that are not learned from.

    Attributes:
        step: After how many batches.
        error: Mean joint error over all frames, millimetres.
        forecast: States that were said.
        truth: States that came.
    """

    step: int
    error: float
    forecast: Float[Tensor, "B N S"]
    truth: Float[Tensor, "B N S"]


class ForecasterTrainer:
    """A forecaster that learns; it can be kept in a file and go on from there as if it had never stopped.

    Args:
        config: What it is to be.
        options: How it learns.
        learned: Recordings to learn from.
        kept: Recordings to look at while it learns.

    Raises:
        HandsError: The recordings are too short, or not of one kind.
    """

    def __init__(
        self,
        config: ForecasterConfig,
        options: ForecasterTraining,
        learned: Sequence[Recording],
        kept: Sequence[Recording],
    ):
        frames = config.frames_in + config.frames_out
        self.options, self._windows = options, Windows(learned, frames)
        checked = Windows(kept, frames)
        rows = torch.linspace(0, len(checked) - 1, min(CHECKED_WINDOWS, len(checked))).long()
        self._checked = checked[rows]
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.forecaster = Forecaster(config)
        rows = torch.linspace(0, len(self._windows) - 1, min(MEASURED_WINDOWS, len(self._windows))).long()
        self.forecaster.fit_scales(self._windows[rows])
        self._generator = torch.Generator().manual_seed(options.seed)
        self._optimizer = torch.optim.Adam(
            self.forecaster.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self.step = 0

    def train(
        self, progress: Callable[[int, float], None] = lambda step, loss: None, look: Callable[[Check], None] = print
    ) -> Forecaster:
        """Learns to the end.

        Args:
            progress: Receives the step and the loss.
            look: Receives what is seen now and then.

        Raises:
            HandsError: The loss is not finite.
        """
        while self.step < self.options.steps:
            loss = self._learn()
            self.step += 1
            progress(self.step, loss)
            if self.step % self.options.check_every == 0 or self.step == self.options.steps:
                look(self.check())
        return self.forecaster.eval()

    def check(self) -> Check:
        """Forecasts windows that are not learned from."""
        config, truth = self.forecaster.config, self._checked[:, self.forecaster.config.frames_in :]
        self.forecaster.eval()
        said = self.forecaster.forecast(self._checked[:, : config.frames_in], config.frames_out)
        self.forecaster.train()
        joints = self.forecaster.representation.joints
        return Check(self.step, 1000 * float(joint_errors(joints(said), joints(truth)).mean()), said, truth)

    def save(self, path: Path) -> None:
        """Keeps the training in a file, replacing the one before.

        Raises:
            HandsError: The folder cannot be written, or the disk is full.
        """
        state = {
            "step": self.step,
            "weights": self.forecaster.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": self._generator.get_state(),
        }
        try:
            with written_whole(path) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:
            raise HandsError(
                f"{path}: expected to keep the training there, found '{disk_fault(error)}': free some space and give "
                "--resume, or give another --output."
            ) from error

    def resume(self, path: Path) -> None:
        """Goes on from a file of `save`.

        Raises:
            HandsError: It is no such file, or that of another forecaster.
        """
        remedy = "remove it to begin anew"
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.forecaster.load_state_dict(state["weights"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._generator.set_state(state["random"])
            self.step = int(state["step"])
        except Exception as error:  # Bytes that are no checkpoint make torch's decoders raise nearly anything.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
            raise HandsError(
                f"{path}: expected a training of the same forecaster with the same options, found another or a damaged "
                f"file ({reason}): {remedy}."
            ) from error

    def _learn(self) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self.options.learning_rate * warmed_up_cosine(self.step, self.options.steps)
        rows = torch.randint(len(self._windows), (self.options.batch,), generator=self._generator)
        loss = self._loss(self._augmented(self._windows[rows]))
        if not torch.isfinite(loss):
            raise HandsError(
                f"forecaster: expected a finite loss, found NaN or infinity at step {self.step}: lower --learning-rate."
            )
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.forecaster.parameters(), MAX_GRADIENT)
        self._optimizer.step()
        return float(loss.detach())

    def _augmented(self, states: Float[Tensor, "B T S"]) -> Float[Tensor, "B T S"]:
        if self.forecaster.config.numbers == "angles" or not self.options.scale:
            return states
        draw = torch.rand(len(states), 1, 1, generator=self._generator)
        return states * (1 + self.options.scale * (2 * draw - 1))

    def _loss(self, states: Float[Tensor, "B T S"]) -> Float[Tensor, ""]:
        """Mean distance of joints, and of their steps from frame to frame, in decimetres."""
        forecaster, config = self.forecaster, self.forecaster.config
        past, future = states[:, : config.frames_in], states[:, config.frames_in :]
        anchor, representation = past[:, -1], forecaster.representation
        features, truth = forecaster.encode(past, anchor), forecaster.encode(future, anchor)
        if self.options.noise:
            features = features + self.options.noise * torch.randn(features.shape, generator=self._generator)
        wanted = representation.joints(future)
        forced = self.step < self.options.teacher_forcing * self.options.steps
        if config.futures:
            # One pass for all continuations, the most probable one included.
            every = forecaster.network(features)
            nearest = (every[:, 1:] - truth[:, None]).detach().abs().mean(dim=(-1, -2)).argmin(dim=1)
            said = torch.cat([every[:, 0], every[torch.arange(len(every)), 1 + nearest]])
            distance = self._distance(
                representation.joints(forecaster.decode(said, torch.cat([anchor, anchor]))),
                torch.cat([wanted, wanted]),
                torch.cat([past[:, -1:], past[:, -1:]]),
            )
            first, second = distance.chunk(2)
            chance = nn.functional.cross_entropy(forecaster.likelihood(features.flatten(1)), nearest)
            return first.mean() + self.options.futures_weight * (second.mean() + 0.05 * chance)
        said = forecaster.continued(features, config.frames_out, truth if forced else None)
        return self._distance(representation.joints(forecaster.decode(said, anchor)), wanted, past[:, -1:]).mean()

    def _distance(
        self, said: Float[Tensor, "B N J 3"], truth: Float[Tensor, "B N J 3"], last: Float[Tensor, "B 1 S"]
    ) -> Float[Tensor, " B"]:
        begin = self.forecaster.representation.joints(last)
        position = joint_errors(said, truth).mean(dim=(-1, -2))
        # Once more relative to the wrist: a hand that travels would otherwise hide what its fingers do.
        position = position + joint_errors(said, truth, relative=True).mean(dim=(-1, -2))
        steps = [torch.cat([begin, joints], dim=1).diff(dim=1) for joints in (said, truth)]
        return 10 * (position + self.options.velocity * joint_errors(*steps).mean(dim=(-1, -2)))
