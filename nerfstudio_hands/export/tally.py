"""How many hands were predicted, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Of a run over pictures.

    Attributes:
        pictures: That were looked at.
        with_hands: Those with a hand.
        hands: In all of them.
        seconds: What networks took; detector, files and drawing are not in it.
    """

    pictures: int = 0
    with_hands: int = 0
    hands: int = 0
    seconds: float = 0.0

    def add(self, hands: int, seconds: float) -> None:
        """Counts a picture."""
        self.pictures, self.with_hands = self.pictures + 1, self.with_hands + bool(hands)
        self.hands, self.seconds = self.hands + hands, self.seconds + seconds

    @property
    def milliseconds_a_hand(self) -> float:
        """Mean."""
        return 1000 * self.seconds / max(1, self.hands)
