"""`ns-hands turntable`: a video of the avatar from all sides."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from nerfstudio_hands.cli.output_folder import check_new_video, prepare_output_folder
from nerfstudio_hands.program.environment import require_run_config
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

LAST_FRAME = 10**6
"""No capture has more frames; how many a run has is known once it is loaded."""


def turntable(
    load_config: Path,
    output: Path = Path("turntable.mp4"),
    *,
    num_frames: int = 30,
    fps: float = 10.0,
    width: int = 320,
    height: int = 240,
    elevation: float = 20.0,
    frame: int = 0,
    quick: bool = True,
    overwrite: bool = False,
    data: Optional[Path] = None,
) -> None:
    """Render a video in which the camera circles once round the hands.

    The defaults take about a minute on two cores of a CPU; a finer video is `--num-frames 72 --fps 24 --width 640
    --height 480`.

    Args:
        load_config: The run's config.yml.
        output: Video file to write, .mp4; there must be none of this name, unless --overwrite.
        num_frames: Pictures in the video, 1 to 10000.
        fps: Pictures a second, 0.1 to 240.
        width: Picture width in pixels, 16 to 4096.
        height: Picture height in pixels, 16 to 4096.
        elevation: Angle of the camera above the horizon in degrees, -89 to 89.
        frame: Frame of the capture whose pose is shown, counted from 0, 0 to 1000000.
        quick: Draw hand-uvnerf and hand-sdf in layers, some six times as fast and nearly the same; --no-quick draws
            them from samples, as ns-eval does.
        overwrite: Replace a file of this name.
        data: Where the capture lies now; by default where it lay when the run began. It need not be there.
    """
    require_range("--num-frames", num_frames, 1, 10000)
    require_range("--fps", fps, 0.1, 240)
    require_range("--width", width, 16, 4096)
    require_range("--height", height, 16, 4096)
    require_range("--elevation", elevation, -89, 89)
    require_range("--frame", frame, 0, LAST_FRAME)
    require_run_config(load_config)
    check_new_video(output, overwrite=overwrite)
    say(f"Loading the avatar of {load_config} ...")

    import numpy as np

    from nerfstudio_hands.cli.shown_frame import frame_pose
    from nerfstudio_hands.cli.trained_run import load_run
    from nerfstudio_hands.video.orbit import orbit_cameras
    from nerfstudio_hands.video.writer import write_video

    config, pipeline = load_run(load_config, data, quick=quick)
    prepare_output_folder(output.parent, keep_out_of=Path(config.pipeline.source.data))
    model = pipeline.model
    model.hands.set_override(frame_pose(model.hands, frame))
    cameras = orbit_cameras(
        model.scene_box, num_cameras=num_frames, width=width, height=height, elevation=elevation
    ).to(model.device)
    images = (
        (model.get_outputs_for_camera(cameras[i : i + 1])["rgb"].cpu().numpy() * 255).astype(np.uint8)
        for i in range(num_frames)
    )
    write_video(output, images, width=width, height=height, count=num_frames, fps=fps)
    say(f"Turntable: {output}")
