"""`ns-hands batch status RESULTS`: how far a batch has come, also while it runs."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_working_folder


def print_status(words: list[str]) -> None:
    """Prints what the ledger of some results says.

    Args:
        words: The results' folder or URL.

    Raises:
        HandsError: Not one word, or no ledger there.
    """
    from rich.console import Console

    from nerfstudio_hands.fleet.addresses import settled
    from nerfstudio_hands.fleet.ledger import LEDGER_FILE, Ledger, ledger_folder
    from nerfstudio_hands.fleet.status import tables

    if len(words) != 1:
        raise HandsError(
            f"ns-hands batch status: expected the results folder after it, found {len(words)} words; give it."
        )
    require_working_folder()
    file = ledger_folder(settled(words[0], Path.cwd())) / LEDGER_FILE
    if not file.is_file():
        raise HandsError(
            f"{words[0]}: expected the results of a batch, found no {LEDGER_FILE} there; check the folder."
        )
    ledger = Ledger(file, writes=False)
    Console().print(tables(ledger))
    ledger.close()
