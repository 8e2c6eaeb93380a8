"""What optimizers remember of parameters that are dealt out anew."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Int
from nerfstudio.engine.optimizers import Optimizers
from torch import Tensor
from torch.nn import Parameter


def follow_rows(optimizers: Optimizers, parameters: Iterable[Parameter], source: Int[Tensor, " N"]) -> None:
    """Lets optimizers remember of each row what they knew of another one.

    Args:
        optimizers: A training's.
        parameters: Whose rows have moved, each [N, ...].
        source: Which row each was.
    """
    for parameter in parameters:
        for optimizer in optimizers.optimizers.values():
            for values in optimizer.state.get(parameter, {}).values():
                if isinstance(values, Tensor) and values.shape == parameter.shape:
                    values.copy_(values[source])
