"""Reaching into a Llava model: the model under an adapter, and what its connector reads of the tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from assistant.model.tiles import read_layers


def bare(llava: Any) -> Any:
    """Return the Llava model itself, without a wrapper that an adapter may have put around it."""
    return llava.get_base_model() if hasattr(llava, "get_base_model") else llava


def selected(hidden_states: Sequence[torch.Tensor], config: Any) -> torch.Tensor:
    """Return what the connector reads of the tower's hidden states, as Llava's own forward pass does: (N, P, D).

    Of a model with tiles these are the features of one view; `assistant.model.tiles.join` puts the views together.

    Args:
        hidden_states: of the tower, (N, 1 + patches, D) each.
        config: Llava's: which layer or layers, and whether the class token is left out ("default") or not ("full").
    Returns:
        P is the contract's `image_tokens`.
    """
    layers, _ = read_layers(config.vision_feature_layer)
    chosen = [hidden_states[layer] for layer in ([layers] if isinstance(layers, int) else layers)]
    if config.vision_feature_select_strategy == "default":
        chosen = [states[:, 1:] for states in chosen]
    return torch.cat(chosen, dim=-1)
