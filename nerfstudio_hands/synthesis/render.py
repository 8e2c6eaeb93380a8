"""Images of a scene as cameras see it, in one of two qualities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from nerfstudio_hands.geometry.raster.rasterize import rasterize_rays
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence, moved, posed_surfaces
from nerfstudio_hands.synthesis.options import AS_IT_IS, ImageOptions
from nerfstudio_hands.synthesis.rig import CameraRig, RigCamera
from nerfstudio_hands.synthesis.scene import Quality, Scene, light_scene
from nerfstudio_hands.synthesis.shading import EXPOSURE, Shader, sample_shader, vertex_shader
from nerfstudio_hands.synthesis.subject import Subject
from nerfstudio_hands.transforms.color import GAMMA
from nerfstudio_hands.transforms.projection import pixel_rays

SAMPLES_PER_STRIP = 700_000
"""An image is rendered in strips of so many samples, which bounds the memory."""

MOMENTS = 5
"""Moments of which a blurred picture is the mean; odd, so that one is that of the truth."""


@dataclass(frozen=True)
class RenderedImage:
    """An image before its camera's response, noise and rounding."""

    color: Float[np.ndarray, "H W 3"]
    """Pixel values, not clipped."""
    hand: Float[np.ndarray, "H W"]
    """Part of each pixel that is the surface of the hand model."""
    skin: Float[np.ndarray, "H W"]
    """The same with the forearm."""
    held: Float[np.ndarray, "H W"]
    """Part of each pixel that is the object in the hand."""
    sleeve: Float[np.ndarray, "H W"]
    """Part of each pixel that is the sleeve."""


def render_frame(
    subject: Subject,
    motion: MotionSequence,
    t: int,
    rig: CameraRig,
    quality: Quality,
    *,
    supersampling: int,
    taken: ImageOptions = AS_IT_IS,
) -> Iterator[tuple[RigCamera, RenderedImage]]:
    """Images of one frame by all cameras, one after the other.

    Args:
        subject: The person, prepared for this quality.
        motion: What the hands do.
        t: Which frame.
        rig: Cameras and light.
        quality: Of the light and of the skin's detail.
        supersampling: Samples a pixel along each axis.
        taken: How long the shutter is open, and how bright the pictures are.
    """
    lit = []
    for offset in _moments(taken.shutter):
        moment, place = (motion, t) if offset == 0 else (moved(motion, t, offset), 0)
        scene = light_scene(posed_surfaces(subject, moment, place), rig.room, quality)
        lit.append((scene, sample_shader(scene) if quality.at_samples else vertex_shader(scene)))
    for camera in rig.cameras:
        images = [render_camera(scene, shader, camera, supersampling=supersampling) for scene, shader in lit]
        yield camera, _exposed(images, taken.exposure)


def _moments(shutter: float) -> list[float]:
    """Middles of equal parts of the time in which the shutter is open, in frames from the frame's own moment."""
    count = MOMENTS if shutter > 0 else 1
    return [shutter * ((part - count // 2) / count) for part in range(count)]


def _exposed(images: list[RenderedImage], exposure: float) -> RenderedImage:
    """What a sensor gathers of several moments; what is where is that of the middle one."""
    middle = images[len(images) // 2]
    if len(images) == 1 and exposure == 1:
        return middle
    light = np.mean([image.color**GAMMA for image in images], axis=0)
    return replace(middle, color=(exposure * light) ** (1 / GAMMA))


def render_camera(scene: Scene, shader: Shader, camera: RigCamera, *, supersampling: int) -> RenderedImage:
    """Render a scene with `supersampling` squared samples a pixel."""
    rows = max(1, SAMPLES_PER_STRIP // (camera.width * supersampling**2))
    tops = range(0, camera.height, rows)
    strips = [_strip(scene, shader, camera, top, min(top + rows, camera.height), supersampling) for top in tops]
    radiance, hand, forearm, held, sleeve = np.split(np.concatenate(strips), [3, 4, 5, 6], axis=-1)
    color = (EXPOSURE * radiance) ** (1 / GAMMA)
    return RenderedImage(color, hand[..., 0], (hand + forearm)[..., 0], held[..., 0], sleeve[..., 0])


def _strip(
    scene: Scene, shader: Shader, camera: RigCamera, top: int, bottom: int, size: int
) -> Float[np.ndarray, "H W 7"]:
    """Means over the pixels of some rows: radiance, and which parts are hand, forearm, held object and sleeve."""
    intrinsics = np.diag([size, size, 1.0]) @ (camera.intrinsics - [[0, 0, 0], [0, 0, top], [0, 0, 0]])
    pose = torch.from_numpy(camera.world_to_camera).float()
    height, width = (bottom - top) * size, camera.width * size
    rays = pixel_rays(torch.from_numpy(intrinsics).float(), pose, width, height)
    raster = rasterize_rays(scene.surfaces, *rays)
    directions = rays[1].double().numpy()
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    face = raster.face.numpy()
    hit = face >= 0
    seen = face[hit]
    samples = np.zeros((height, width, 7))
    samples[~hit, :3] = scene.room.background(directions[~hit])
    samples[hit, :3] = shader(seen, raster.barycentric.numpy()[hit], directions[hit])
    labels = (PixelLabel.HAND, PixelLabel.IGNORE, PixelLabel.OBJECT, PixelLabel.BACKGROUND)
    samples[hit, 3:] = scene.face_label[seen][:, None] == np.array(labels)
    return samples.reshape(bottom - top, size, camera.width, size, 7).mean((1, 3))
