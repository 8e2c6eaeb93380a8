"""Sines and cosines of growing frequency."""

from __future__ import annotations

from jaxtyping import Float
from nerfstudio.field_components.encodings import NeRFEncoding
from torch import Tensor


class FrequencyEncoding(NeRFEncoding):
    """nerfstudio's, which fails where there is nothing to encode: a picture beside the hand."""

    def forward(self, in_tensor: Float[Tensor, "N C"]) -> Float[Tensor, "N D"]:
        return super().forward(in_tensor) if len(in_tensor) else in_tensor[:, :1].expand(0, self.get_out_dim())
