"""How the pose network is trained; here alone, so that `ns-hands --help` does not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHTS = (0.0, 1000.0)
"""Of a term of the loss; zero leaves it out."""

RANGES = {
    "first_steps": (0, 10**7), "steps": (1, 10**7), "batch": (1, 65536), "detailed": (1, 65536),
    "learning_rate": (1e-8, 1.0), "seed": (0, 2**32 - 1), "vertices": WEIGHTS, "joints": WEIGHTS, "normals": WEIGHTS,
    "edges": WEIGHTS, "parameters": WEIGHTS, "model_vertices": WEIGHTS,
}  # fmt: skip
"""What each number of the training may be."""


@dataclass
class TrainingOptions:
    """How the network is trained; the loss weights are FMHR's, where it has such a term."""

    first_steps: int = 10000
    """Batches at the beginning that learn pose and shape alone, each a twentieth of the work of a whole one; 0 to
    10000000."""
    steps: int = 1200
    """Batches that learn everything, 1 to 10000000."""
    batch: int = 256
    """Hands of a batch, 1 to 65536."""
    detailed: int = 16
    """Hands of a batch whose vertices are compared, which cost most, 1 to 65536."""
    learning_rate: float = 2e-3
    """Highest learning rate of Adam, 1e-08 to 1.0; in both parts it falls to zero along half a cosine."""
    seed: int = 0
    """Another seed draws other hands; 0 to 4294967295."""
    vertices: float = 2.0
    """Weight of the L1 distance of vertices, units of 0.1 m; 0.0 to 1000.0."""
    joints: float = 2.0
    """Weight of that of the joints: fingertips on the vertices, all joints of the posed model;
    0.0 to 1000.0."""
    normals: float = 1.0
    """Weight of the cosine between edges and true normals of their faces, 0.0 to 1000.0."""
    edges: float = 5.0
    """Weight of the squared error of edge lengths, relative to their mean; 0.0 to 1000.0."""
    parameters: float = 1.0
    """Weight of the L1 error of angles (radians), of the wrist's rotation matrix and place, and a tenth of shape's; 0.0
    to 1000.0."""
    model_vertices: float = 2.0
    """Weight of the L1 distance of the posed model's vertices, 0.0 to 1000.0."""
