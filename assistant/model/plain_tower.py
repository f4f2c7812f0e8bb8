"""The image tower as it was loaded, on a CPU, without what nobody reads of its last layer.

The connector reads an earlier layer, and the joint space the class token of the last one. So the last layer needs keys
and values of all tokens, and everything else of the class token alone: the same sums with the same modules.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

_TOGETHER = 8
"""Pictures at once: what lies between two products of more of them no longer fits the caches."""


def can_read(vit: Any, layers: Any) -> bool:
    """Tell whether `read_pixels` gives what is read of a tower.

    Args:
        vit: the tower.
        layers: whose states are read, a number or several, as a Llava configuration names them.
    Returns:
        True for a plain `ViTModel` on a CPU of which no other token of the last layer is read.
    """
    chosen = [layers] if isinstance(layers, int) else list(layers)
    return (
        type(vit).__name__ == "ViTModel"
        and not vit.training
        and vit.device.type == "cpu"
        and not any(layer in (-1, len(vit.layers)) for layer in chosen)
        and not any(hasattr(one, "_hf_hook") for one in vit.modules())
    )


def read_pixels(vit: Any, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Run the tower.

    Args:
        vit: a tower that `can_read`.
        pixels: (B, 3, S, S), in the tower's type.
    Returns:
        the states that `ViTModel` gives as `hidden_states`, (B, T, D) each, of the last layer (B, 1, D), and the class
        token after the last norm, (B, D).
    """
    parts = []
    for some in pixels.split(_TOGETHER):
        states = [vit.embeddings(some)]
        for layer in vit.layers[:-1]:
            states.append(layer(states[-1]))
        parts.append([*states, _class_token(vit.layers[-1], states[-1])])
    joined = [torch.cat(one) for one in zip(*parts, strict=True)] if len(parts) > 1 else parts[0]
    return joined, vit.layernorm(joined[-1])[:, 0]


def _class_token(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Return the (B, 1, D) state that a `ViTLayer` makes of the first token of (B, T, D)."""
    seen, normed = layer.attention, layer.layernorm_before(hidden)
    wanted = hidden[:, :1]
    query, keys, values = (
        made.unflatten(-1, (-1, seen.head_dim)).transpose(1, 2)
        for made in (seen.q_proj(normed[:, :1]), seen.k_proj(normed), seen.v_proj(normed))
    )
    read = functional.scaled_dot_product_attention(query, keys, values, scale=seen.scaling)
    wanted = wanted + seen.o_proj(read.transpose(1, 2).flatten(2))
    made: torch.Tensor = wanted + layer.mlp(layer.layernorm_after(wanted))
    return made
