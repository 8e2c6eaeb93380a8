"""Networks that see a hand and what it holds in one picture or a clip, after gSDF (Chen et al., CVPR 2023)."""
