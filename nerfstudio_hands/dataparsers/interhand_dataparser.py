"""InterHand2.6M for nerfstudio: see the note on imports in `hands_dataparser`."""

from __future__ import annotations

from dataclasses import dataclass

from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig


@dataclass
class InterHandDataParserConfig(InterHandOptions, HandsDataParserConfig):
    """InterHand2.6M: one capture of one split, or whatever else is written in its layout."""
