"""How the pose network is trained; here alone, so that `ns-hands --help` does not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TrainingOptions:
    """How the network is trained; the loss weights are FMHR's, where it has such a term."""

    first_steps: int = 10000
    """Batches at the beginning that learn pose and shape alone, each a twentieth of the work of a whole one."""
    steps: int = 1200
    """Batches that learn everything."""
    batch: int = 256
    """Hands of a batch."""
    detailed: int = 16
    """Hands of a batch whose vertices are compared, which cost most."""
    learning_rate: float = 2e-3
    """Highest learning rate of Adam; in both parts it falls to zero along half a cosine."""
    seed: int = 0
    """Another seed draws other hands."""
    vertices: float = 2.0
    """Weight of the L1 distance of vertices, units of 0.1 m."""
    joints: float = 2.0
    """Weight of that of the joints: fingertips on the vertices, all joints of the posed model."""
    normals: float = 1.0
    """Weight of the cosine between edges and true normals of their faces."""
    edges: float = 5.0
    """Weight of the squared error of edge lengths, relative to their mean."""
    parameters: float = 1.0
    """Weight of the L1 error of angles (radians), of the wrist's rotation matrix and place, and a tenth of shape's."""
    model_vertices: float = 2.0
    """Weight of the L1 distance of the posed model's vertices."""
