"""Recomputes the figures that `ns-eval --render-output-path FOLDER` gives (but LPIPS) from the pixels that it writes,
with numpy alone: python examples/recompute_figures.py FOLDER"""

import json
import sys
from pathlib import Path

import numpy as np


def psnr(a, b, where):
    return -20 * np.log10(max(np.sqrt(np.mean((a - b)[where] ** 2)), 1e-5))


def crop(image, region, margin=8, smallest=64):
    (y0, x0), (y1, x1) = np.argwhere(region).min(0), np.argwhere(region).max(0)
    image = image[max(y0 - margin, 0) : y1 + 1 + margin, max(x0 - margin, 0) : x1 + 1 + margin]
    return np.pad(image, [(0, max(0, smallest - side)) for side in image.shape[:2]] + [(0, 0)])


WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)


def blur(image):
    for axis in (0, 1):
        wide = np.pad(image, [(5, 5) if k == axis else (0, 0) for k in range(3)], mode="reflect")
        image = np.apply_along_axis(np.convolve, axis, wide, WINDOW / WINDOW.sum(), "valid")
    return image


def ssim(a, b):
    ma, mb = blur(a), blur(b)
    va, vb, both = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    return np.mean((2 * ma * mb + 1e-4) * (2 * both + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))


def figures(pixels):
    truth, *images = (pixels[key] / 255 for key in ("truth", "prediction", "calibrated", "registered"))
    region, counted, drawn, turned = (pixels[key] > 0 for key in ("region", "counted", "drawn", "registered_drawn"))
    target, (raw, calibrated, registered) = truth * region[..., None], (image * counted[..., None] for image in images)
    found, shown = {"psnr": psnr(raw, target, counted | True), "ssim": ssim(raw, target)}, region | (drawn & counted)
    if region.any():
        found["hand_psnr"], found["hand_psnr_calibrated"] = psnr(raw, target, shown), psnr(calibrated, target, shown)
        found["hand_psnr_calibrated_unsaturated"] = psnr(calibrated, target, shown & (target < 0.99).all(-1))
        found["hand_ssim"] = ssim(crop(raw * shown[..., None], region), crop(target, region))
        found["mask_iou"] = (region & drawn).sum() / shown.sum()
        either = region | (turned & counted)
        found["hand_psnr_registered"] = psnr(registered, target, either)
        found["mask_iou_registered"] = (region & turned).sum() / either.sum()
        found["hand_coverage"] = (region & drawn).sum() / region.sum()
    return found


if __name__ == "__main__":
    for entry in json.loads(Path(sys.argv[1], "figures.json").read_text()):
        print(entry["picture"])
        said = {key.replace("own_mask_", ""): value for key, value in entry["figures"].items()}
        for key, value in figures(np.load(Path(sys.argv[1], entry["pixels"]))).items():
            print(f"  {key:33} {value:9.4f}, ns-eval says {said.get(key, said.get(key[5:])):9.4f}")
