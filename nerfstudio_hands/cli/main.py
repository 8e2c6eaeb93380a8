"""`ns-hands`: the commands that nerfstudio has no place for."""

from __future__ import annotations

import sys
from typing import Annotated, Union

import tyro

from nerfstudio_hands.cli.check import Check
from nerfstudio_hands.cli.export import Export
from nerfstudio_hands.cli.fetch_weights import FetchWeights
from nerfstudio_hands.cli.fit import Fit
from nerfstudio_hands.cli.synthesize import SynthesizeCaptureRoom
from nerfstudio_hands.errors import HandsError
