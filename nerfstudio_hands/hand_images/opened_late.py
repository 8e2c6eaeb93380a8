"""Sources that travel to other processes without what each process opens or makes itself."""

from __future__ import annotations

from functools import cached_property


class OpenedLate:
    """Pickled without its cached properties."""

    def __getstate__(self) -> dict:
        kind = type(self)
        return {
            name: value
            for name, value in self.__dict__.items()
            if not isinstance(getattr(kind, name, None), cached_property)
        }
