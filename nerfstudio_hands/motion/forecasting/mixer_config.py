"""Layers of the convolutional mixer; imports nothing heavy, so that `ns-hands --help` does not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nerfstudio_hands.program.option_range import bounded

Activation = Literal["mish", "gelu"]
Regularization = Literal["none", "batchnorm", "dropout"]


@dataclass(frozen=True)
class MixerConfig:
    """Layers of a mixer."""

    embedding: bounded(int, 1, 4096) = 96
    """Numbers that a pose becomes."""
    channels: bounded(int, 1, 1024) = 4
    """Channels of the convolutions."""
    blocks: bounded(int, 1, 100) = 3
    """Pairs of convolutions."""
    time_kernel: bounded(int, 1, 999) = 9
    """Frames that a convolution along time reaches over; odd."""
    pose_kernel: bounded(int, 1, 999) = 63
    """Numbers of the embedding that a convolution along the pose reaches over; odd."""
    cross_kernel: bounded(int, 1, 999) = 1
    """How far each of them reaches the other way as well; 1 is along time, then along the pose. Odd."""
    mix_time: bool = True
    """Whether the first convolution of a block is there."""
    mix_pose: bool = True
    """Whether the second one is."""
    squeeze: bounded(int, 0, 1000) = 4
    """Frames that squeeze-and-excitation over time makes one of; 0 leaves it out."""
    harmonics: bounded(int, 0, 16) = 0
    """Pairs of sine and cosine that each number of the input gets besides."""
    matrices: bounded(int, 0, 1024) = 8
    """Matrices along time that continue the steps of each number, blended as the blocks find; 0 leaves them out. A
    movement's rest is in proportion to what has been seen of it, in a ratio that depends on how far it has come."""
    activation: Activation = "gelu"
    regularization: Regularization = "none"
    """After each activation."""
    dropout: bounded(float, 0, 0.99) = 0.1
    """Share of channels that dropout zeroes, where it is asked for."""
