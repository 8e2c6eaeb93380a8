"""`ns-hands view`: a trained avatar in the web viewer, for this machine only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_run_config
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline
    from nerfstudio.viewer.viewer import Viewer


def view(load_config: Path, *, host: str = "127.0.0.1", port: int = 7007, quick: bool = True) -> None:
    """Show a trained avatar in the web viewer: sliders for its fingers, tracks to play.

    The page is served until Ctrl-C, by default to this machine only. From another one, have SSH carry the port: `ssh -L
    7007:localhost:7007 MACHINE`, then open http://localhost:7007.

    Args:
        load_config: The run's config.yml.
        host: Address of this machine at which the page is served; 0.0.0.0 serves it to all who reach the machine.
        port: Port at which the page is served, 1 to 65535.
        quick: Draw hand-uvnerf and hand-sdf in layers, some six times as fast and nearly the same; --no-quick draws
            them from samples, as ns-eval does.
    """
    require_range("--port", port, 1, 65535)
    require_run_config(load_config)
    check_address(host, port)

    import threading

    from nerfstudio_hands.cli.trained_run import load_run

    config, pipeline = load_run(load_config, quick=quick)
    open_viewer(config, pipeline, load_config, host=host, port=port)
    say(f"The avatar is shown at {page_address(host, port)} until Ctrl-C.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say("The viewer has ended.")


def page_address(host: str, port: int) -> str:
    """What to open in a browser on this machine."""
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def check_address(host: str, port: int) -> None:
    """Raise a HandsError unless a server may listen there; viser would wait for ever, or take another port."""
    import socket

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise HandsError(
            f"{host}:{port}: expected an address of this machine and a free port, found '{error}'; choose another "
            "--port or --host."
        ) from error


def open_viewer(config: TrainerConfig, pipeline: Pipeline, load_config: Path, *, host: str, port: int) -> Viewer:
    """nerfstudio's viewer with the run's own settings but for where it is served.

    Args:
        config: The run's configuration.
        pipeline: Its pipeline.
        load_config: The run's config.yml, beside which the viewer writes camera paths.
        host: Address that is listened at.
        port: Port that is listened at.
    """
    import dataclasses
    import threading

    from nerfstudio.viewer.viewer import Viewer

    settings = dataclasses.replace(config.viewer, websocket_host=host, websocket_port=port, make_share_url=False)
    viewer = Viewer(
        settings,
        log_filename=load_config.parent / "viewer.log",
        datapath=load_config.parent,
        pipeline=pipeline,
        train_lock=threading.Lock(),
    )
    viewer.pause_train.visible = False
    dataset = pipeline.datamanager.train_dataset
    if not all(path.is_file() for path in dataset.image_filenames):
        # The capture is gone; its cameras are drawn with their pictures or not at all.
        settings.max_num_display_images = 0
    viewer.init_scene(train_dataset=dataset, train_state="completed")  # pyright: ignore[reportArgumentType]
    return viewer
