"""Things of one viewer's scene that a person switches on and off."""

from __future__ import annotations

from collections.abc import Callable

import viser


class Overlay:
    """Something that is drawn into a viewer's scene for as long as it is switched on.

    Args:
        add: Adds it to a scene, where one of the same name gives way to it.
    """

    def __init__(self, add: Callable[[viser.SceneApi], viser.SceneNodeHandle]) -> None:
        self._add = add
        self._server: viser.ViserServer | None = None
        self._handle: viser.SceneNodeHandle | None = None

    @property
    def is_on(self) -> bool:
        """Whether it is in a scene."""
        return self._server is not None

    def switch(self, viser_server: viser.ViserServer | None) -> None:
        """Adds it to the scene of this viewer; None removes it."""
        if viser_server is None and self._handle is not None:
            self._handle.remove()
            self._handle = None
        self._server = viser_server
        self.draw()

    def draw(self) -> None:
        """Draws it anew where it is switched on."""
        if self._server is not None:
            self._handle = self._add(self._server.scene)
