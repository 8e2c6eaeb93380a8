"""The one exception that a user's mistake or a user's broken file raises."""

import re


class HandsError(ValueError):
    """A fault in what the user gave: one sentence with the file, what was expected, what was found and what to do.

    The command line prints the sentence without a traceback and exits with status 1. What is quoted from a file stays
    on the line: control characters become blanks, and what no terminal can print a question mark.
    """

    def __init__(self, sentence: str) -> None:
        printable = re.sub(r"[\x00-\x1f\x7f]+", " ", sentence)
        super().__init__(printable.encode("utf-8", "replace").decode("utf-8"))
