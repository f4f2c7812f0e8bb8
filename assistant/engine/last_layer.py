"""The last layer of a language model, worked out for the tokens that somebody reads.

When a prompt is read, only its last token's state goes on to the head. Every layer must see all tokens but the last
one, of which the others leave their keys and values and nothing else: no query, no output, no feed-forward part.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

_KNOWN = frozenset({"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer"})
"""Layers of transformers whose keys come from `k_proj` of the normed states and turn by rotary embeddings."""


class LastLayer(nn.Module):
    """A layer that works out its last token alone where the cache says that no other is read.

    Args:
        layer: of `_KNOWN`; it is used as it is.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> torch.Tensor:
        """Return the layer's (B, t, D) states, or the last token's, (B, 1, D), of (B, t, D)."""
        alone = getattr(past_key_values, "last", None) == 1 and hidden_states.shape[1] > 1
        if alone and position_embeddings is not None and (attention_mask is None or attention_mask.dim() == 4):
            cos, sin = position_embeddings
            self._remember(hidden_states[:, :-1], cos[:, :-1], sin[:, :-1], past_key_values)
            hidden_states, position_embeddings = hidden_states[:, -1:], (cos[:, -1:], sin[:, -1:])
            attention_mask = None if attention_mask is None else attention_mask[:, :, -1:]
            position_ids = None if position_ids is None else position_ids[:, -1:]
        made: torch.Tensor = self.layer(
            hidden_states,
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **options,
        )
        return made

    def _remember(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, cache: Any) -> None:
        """Leave the keys and values of (B, t, D) states in the cache."""
        from transformers.models.llama.modeling_llama import rotate_half

        attention = self.layer.self_attn
        normed = self.layer.input_layernorm(hidden)
        shape = (*normed.shape[:-1], -1, attention.head_dim)
        keys = attention.k_proj(normed).view(shape).transpose(1, 2)
        values = attention.v_proj(normed).view(shape).transpose(1, 2)
        keys = keys * cos[:, None] + rotate_half(keys) * sin[:, None]
        cache.update(keys, values, attention.layer_idx)


def with_last_layer(decoder: nn.Module) -> nn.Module:
    """Return a decoder whose last layer works out what is read.

    Args:
        decoder: stays as it is.
    Returns:
        Another tree of the same modules; the decoder itself where its layers are none of those that are known.
    """
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return decoder
    last = layers[-1]
    own = type(last).__module__.startswith("transformers.models.") and type(last).__name__ in _KNOWN
    if not own or any(hasattr(one, "_hf_hook") for one in last.modules()):
        return decoder
    inner, made = copy.copy(layers), copy.copy(decoder)
    inner._modules = {**layers._modules, str(len(layers) - 1): LastLayer(last)}
    made._modules = {**decoder._modules, "layers": inner}
    return made
