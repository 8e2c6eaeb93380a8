"""One step of one capture."""

from __future__ import annotations

from dataclasses import dataclass, field

STEPS = ("fit", "train", "eval", "export")
"""All steps of a capture, in their order."""
NEEDS = {"eval": "train", "export": "train"}
"""Steps without which another one cannot be."""


@dataclass(frozen=True)
class Step:
    """One step of one capture.

    Attributes:
        key: Its folder below the results: `capture/fit`, `capture/method/train`.
        capture: Name of the capture.
        method: Name of the method; empty for the fit.
        step: One of `STEPS`.
        data: Where the capture lies.
        words: Options that the command gets, see `worker`.
        needs: Keys of the steps before it.
        inputs: Digest of all that it depends on: options, address and those of the steps before it. Which version
            made a result stands beside it in the ledger, and is no part of this.
    """

    key: str
    capture: str
    method: str
    step: str
    data: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    inputs: str = field(default="", compare=False)
