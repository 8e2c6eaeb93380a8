"""`ns-hands turntable`: a video of the avatar from all sides."""

from __future__ import annotations

from pathlib import Path


def turntable(
    load_config: Path,
    output: Path = Path("turntable.mp4"),
    num_frames: int = 72,
    width: int = 480,
    height: int = 360,
    elevation: float = 20.0,
    frame: int = 0,
) -> None:
    """Render a video in which the camera circles once round the hands.

    Args:
        load_config: The run's config.yml.
        output: Video file to write.
        num_frames: Pictures in the video, shown 24 a second.
        width: Picture width in pixels.
        height: Picture height in pixels.
        elevation: Angle of the camera above the horizon in degrees.
        frame: Frame of the capture whose pose is shown.
    """
    import numpy as np
    import torch
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.cli.trained_run import load_run
    from nerfstudio_hands.cli.video import write_video
    from nerfstudio_hands.viewer.orbit import orbit_cameras

    _, pipeline = load_run(load_config)
    model = pipeline.model
    model.hands.set_override(model.hands.pose_of(torch.tensor([frame], device=model.device)))
    cameras = orbit_cameras(
        model.scene_box, num_cameras=num_frames, width=width, height=height, elevation=elevation
    ).to(model.device)
    pictures = (
        (model.get_outputs_for_camera(cameras[i : i + 1])["rgb"].cpu().numpy() * 255).astype(np.uint8)
        for i in range(num_frames)
    )
    write_video(output, pictures, width=width, height=height, count=num_frames, fps=24)
    CONSOLE.print(f"Turntable: {output}")
