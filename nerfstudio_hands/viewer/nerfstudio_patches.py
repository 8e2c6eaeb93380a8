"""What is put in the place of parts of nerfstudio's viewer 1.1.5 and of viser 0.2.7, whose fault a user would meet.

One call is enough for every viewer of this process, those of `ns-train` and of `ns-viewer` too.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import splines
import splines.quaternion
import viser
import viser.infra._infra
import websockets.exceptions
import websockets.server
from nerfstudio.viewer import render_panel, viewer

from nerfstudio_hands.viewer.same_origin import SameOriginProtocol


def orientation_spline(quaternions: list, **options: Any) -> Any:
    """A spline through the orientations of a camera path; between two it turns evenly.

    splines 0.3.0 has a case for two that are no loop, and asks there whether an array is false, which numpy has come to
    refuse for an empty one.
    """
    if len(quaternions) == 2 and options.get("endconditions") != "closed":
        return splines.quaternion.PiecewiseSlerp(quaternions)
    return splines.quaternion.KochanekBartels(quaternions, **options)


def populate_render_tab(
    server: viser.ViserServer, config_path: Path, datapath: Path, control_panel: Any = None
) -> render_panel.RenderTabState:
    """nerfstudio's tab, which keeps camera paths beside the run's config.yml instead of in the capture, and takes the
    name of a render for a name, whatever folders it holds."""
    add_text = server.gui.add_text
    gui: Any = server.gui
    gui.add_text = lambda *arguments, **options: NameHandle(add_text(*arguments, **options))
    try:
        return render_panel.populate_render_tab(server, config_path, config_path.parent, control_panel)
    finally:
        del gui.add_text


class NameHandle:
    """A text field whose value is read as the name of a file.

    Args:
        handle: viser's text field.
    """

    def __init__(self, handle: viser.GuiInputHandle[str]) -> None:
        self._handle = handle

    @property
    def value(self) -> str:
        return file_name(self._handle.value)

    @value.setter
    def value(self, value: str) -> None:
        self._handle.value = value


def file_name(text: str) -> str:
    """The text as a name that leads nowhere and that no shell reads otherwise: other characters become `_`."""
    return re.sub(r"[^\w.-]", "_", text[:100]).lstrip(".-") or "render"


_SPLINES = SimpleNamespace(
    KochanekBartels=splines.KochanekBartels,
    quaternion=SimpleNamespace(UnitQuaternion=splines.quaternion.UnitQuaternion, KochanekBartels=orientation_spline),
)
"""The module as nerfstudio's camera path sees it."""

_WEBSOCKETS = SimpleNamespace(
    exceptions=websockets.exceptions,
    server=SimpleNamespace(serve=functools.partial(websockets.server.serve, create_protocol=SameOriginProtocol)),  # pyright: ignore[reportAttributeAccessIssue]
)
"""The module as viser sees it."""


def patch_viewer() -> None:
    """Puts the parts of this module in their places; a second call changes nothing."""
    viser.infra._infra.websockets = _WEBSOCKETS  # pyright: ignore[reportPrivateImportUsage]
    render_panel.splines = _SPLINES  # pyright: ignore[reportPrivateImportUsage]
    viewer.populate_render_tab = populate_render_tab  # pyright: ignore[reportPrivateImportUsage]
