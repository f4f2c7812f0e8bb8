"""A start for the connector that fits the tower's features: all directions at one size, so that none is drowned.

The features of a vision transformer are lopsided: a few directions carry thousands of times the variance of others, and
what a question asks for (where something is, which kind it is) often lies in the small ones. A random first layer hides
them, and a small language model then takes very long to find them.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


@torch.no_grad()
def whiten_connector(projector: nn.Module, features: Tensor, *, least: float = 0.02, seed: int = 0) -> None:
    """Set the connector's first layer so that it whitens the features, and its second so that its output is small.

    Args:
        projector: a stock Llava projector with `linear_1` (D to H) and `linear_2` (H to H).
        features: (N, P, D) patch features of a few hundred training pictures.
        least: added to every variance, as a share of the mean one, so that noise is not blown up.
        seed: of the random rotation after the whitening.
    Source: Kessy et al., Optimal Whitening and Decorrelation, 2018 (PCA whitening, then a rotation).
    """
    flat = features.flatten(0, 1).double()
    mean = flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    scale = (values.clamp(min=0) + least * values.mean()).rsqrt()
    first, second = cast(nn.Linear, projector.linear_1), cast(nn.Linear, projector.linear_2)
    generator = torch.Generator().manual_seed(seed)
    size = max(first.out_features, first.in_features)
    square, _ = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))
    rotation = square[: first.out_features, : first.in_features]
    weight = rotation @ (scale[:, None] * vectors.T)
    first.weight.copy_(weight)
    first.bias.copy_(-weight @ mean)
    nn.init.normal_(second.weight, std=0.5 * float(second.in_features) ** -0.5, generator=generator)
    nn.init.zeros_(second.bias)
