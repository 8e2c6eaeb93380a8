"""The one exception that a user's mistake or a user's broken file raises."""


class HandsError(ValueError):
    """A fault in what the user gave: one sentence with the file, what was expected, what was found and what to do.

    The command line prints the sentence without a traceback and exits with status 1.
    """
