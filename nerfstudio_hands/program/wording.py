"""Words that sentences are made of."""


def counted(number: int, what: str) -> str:
    """A number of things, as "1 camera" or "2 cameras"."""
    return f"{number} {what}{'s' * (number != 1)}"
