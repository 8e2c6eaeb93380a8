"""How a forecaster is trained; imports nothing heavy, so that `ns-hands --help` does not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass

from nerfstudio_hands.program.option_range import bounded


@dataclass(frozen=True)
class ForecasterTraining:
    """How a forecaster is trained."""

    steps: bounded(int, 1, 10**7) = 3000
    """Batches."""
    batch: bounded(int, 1, 65536) = 32
    """Windows of a batch."""
    learning_rate: bounded(float, 1e-8, 1.0) = 4e-3
    """Highest learning rate of Adam; it falls to zero along half a cosine."""
    weight_decay: bounded(float, 0, 1) = 1e-5
    """Of Adam."""
    teacher_forcing: bounded(float, 0, 1) = 0.1
    """Part of the training, from its beginning, in which true frames are read in place of those that have been said;
    only where a forecast is made in several steps."""
    velocity: bounded(float, 0, 100) = 1.0
    """Weight of the error of joints' steps from frame to frame."""
    futures_weight: bounded(float, 0, 100) = 1.0
    """Weight of the nearest of several continuations, where there are some."""
    scale: bounded(float, 0, 0.5) = 0.15
    """Part by which joint positions are enlarged or reduced at random, as people's hands differ; angles need none."""
    noise: bounded(float, 0, 1) = 0.0
    """Standard deviation of what is added to the frames that are read, in radians and decimetres."""
    check_every: bounded(int, 1, 10**7) = 250
    """Steps between two looks at windows that are not learned from."""
    seed: bounded(int, 0, 2**32 - 1) = 0
    """Another seed begins with other weights and draws other windows."""
