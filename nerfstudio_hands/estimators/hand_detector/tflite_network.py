"""A TensorFlow Lite network on the CPU: one picture in, arrays out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError


class TfliteNetwork:
    """A network with one input [1, H, W, 3] in [0, 1].

    Args:
        path: The `.tflite` file.
        threads: Threads that it may use.

    Raises:
        HandsError: The runtime cannot load the file.
    """

    def __init__(self, path: Path, *, threads: int = 1):
        try:
            with _silence():
                self._interpreter = Interpreter(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise HandsError(
                f"{path}: expected a network for TensorFlow Lite, found '{str(error).splitlines()[0]}': delete it and "
                "run `ns-hands fetch-weights`."
            ) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}

    def __call__(self, image: Float[np.ndarray, "H W 3"]) -> dict[str, np.ndarray]:
        """Outputs of one picture by name, without the dimension of the batch, which these networks fix to one."""
        self._interpreter.set_tensor(self._input, image[None].astype(np.float32))
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}


@contextmanager
def _silence() -> Iterator[None]:
    """The runtime tells its developers on the error stream of the process, past Python's, how it computes."""
    stream = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stream, 2)
        os.close(stream)
