"""The encoder's two towers on a CPU, in fewer passes and, if wanted, fewer bits.

The same sums as `ViTModel` and `BertModel`, layer by layer: queries, keys and values come from one product, GELU and
the residual are taken within theirs, and the last layer is worked out for the class token alone where nothing else of
it is read. The Hugging Face modules stay as they are; these hold weights of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from assistant.errors import ModelError
from assistant.model.fast_linear import FastEncoding, can_pack, fast_linear


@dataclass(frozen=True)
class _Parts:
    """One layer's modules, whatever the model calls them."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out: nn.Linear
    up: nn.Linear
    down: nn.Linear
    norms: tuple[nn.LayerNorm, nn.LayerNorm]
    heads: int
    before: bool
    """Norms stand before attention and MLP (ViT), else after their residuals (BERT)."""


class _Layer:
    """One transformer layer; T tokens, D width."""

    def __init__(self, parts: _Parts, encoding: FastEncoding, first_only: bool) -> None:
        self._heads, self._before, self._first_only = parts.heads, parts.before, first_only
        together = [parts.key, parts.value] if first_only else [parts.query, parts.key, parts.value]
        self._joined = fast_linear(encoding, together)
        self._query = fast_linear(encoding, [parts.query]) if first_only else None
        self._out, self._up, self._down = (fast_linear(encoding, [one]) for one in (parts.out, parts.up, parts.down))
        kind = torch.bfloat16 if encoding == "bfloat16" else torch.float32
        self._norms = [
            (norm.weight.detach().to(kind), norm.bias.detach().to(kind), float(norm.eps)) for norm in parts.norms
        ]

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, T, D) to (B, T, D), or to (B, 1, D) where only the first token is wanted."""
        wanted = hidden[:, :1].contiguous() if self._first_only else hidden
        if self._before:
            seen = self._attend(self._norm(0, hidden), mask)
            hidden = self._out(seen, plus=wanted)
            return self._down(self._up(self._norm(1, hidden), gelu=True), plus=hidden)
        hidden = self._norm(0, self._out(self._attend(hidden, mask), plus=wanted))
        return self._norm(1, self._down(self._up(hidden, gelu=True), plus=hidden))

    def _norm(self, which: int, hidden: torch.Tensor) -> torch.Tensor:
        weight, bias, eps = self._norms[which]
        return functional.layer_norm(hidden, weight.shape, weight, bias, eps)

    def _attend(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        rows, tokens, width = hidden.shape
        joined = self._joined(hidden).view(rows, tokens, -1, self._heads, width // self._heads)
        parts = list(joined.permute(2, 0, 3, 1, 4).unbind(0))  # each (B, heads, T, D / heads)
        if self._query is not None:
            query = self._query(hidden[:, :1].contiguous())
            parts.insert(0, query.view(rows, 1, self._heads, -1).transpose(1, 2))
        query, key, value = parts
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return seen.transpose(1, 2).reshape(rows, -1, width)


class FastImageTower:
    """A ViT's hidden states from pixels.

    Args:
        vit: a `ViTModel` with GELU, on the CPU.
        encoding: number format.
        last_layer: whether all tokens of the last layer are read; else only its class token is worked out.
    Raises:
        ModelError: it is no such model, or this machine has no oneDNN.
    """

    def __init__(self, vit: Any, encoding: FastEncoding, *, last_layer: bool = False) -> None:
        _refuse_unfit(vit)
        self._dtype = torch.bfloat16 if encoding == "bfloat16" else torch.float32
        patches = vit.embeddings.patch_embeddings.projection
        self._side = int(patches.kernel_size[0])
        flat = nn.utils.skip_init(nn.Linear, patches.weight[0].numel(), len(patches.weight))
        flat.weight.data, flat.bias.data = patches.weight.detach().flatten(1), patches.bias.detach()
        # In 8 bits the first product would lose the faint greys; it is a fortieth of the work.
        self._patches = fast_linear("float32" if encoding == "int8" else encoding, [flat])
        self._class = vit.embeddings.cls_token.detach().to(self._dtype)
        self._places = vit.embeddings.position_embeddings.detach().to(self._dtype)
        parts = [_vit_parts(layer, vit.config) for layer in vit.layers]
        self._layers = [_Layer(one, encoding, first_only=not last_layer and one is parts[-1]) for one in parts]
        self._norm = vit.layernorm.weight.detach().float(), vit.layernorm.bias.detach().float()
        self._eps = float(vit.config.layer_norm_eps)

    def __call__(self, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the tower.

        Args:
            pixels: (B, 3, S, S).
        Returns:
            the states that `ViTModel` gives as `hidden_states`, (B, T, D) each, and the class token after the last
            norm, (B, D) float32.
        """
        rows, channels, height, width = pixels.shape
        side = self._side
        tiles = pixels.to(self._dtype).view(rows, channels, height // side, side, width // side, side)
        flat = tiles.permute(0, 2, 4, 1, 3, 5).reshape(rows, -1, channels * side * side)
        hidden = torch.cat((self._class.expand(rows, -1, -1), self._patches(flat)), dim=1) + self._places
        states = [hidden]
        for layer in self._layers:
            states.append(layer(states[-1], None))
        last = functional.layer_norm(states[-1][:, 0].float(), self._norm[0].shape, *self._norm, self._eps)
        return states, last


class FastTextTower:
    """A BERT's first token from token ids.

    Args:
        bert: a `BertModel` with GELU, on the CPU.
        encoding: number format.
    Raises:
        ModelError: it is no such model, or this machine has no oneDNN.
    """

    def __init__(self, bert: Any, encoding: FastEncoding) -> None:
        _refuse_unfit(bert)
        self._embeddings = bert.embeddings
        self._dtype = torch.bfloat16 if encoding == "bfloat16" else torch.float32
        layers = bert.encoder.layer
        self._layers = [
            _Layer(_bert_parts(layer, bert.config), encoding, first_only=layer is layers[-1]) for layer in layers
        ]

    def __call__(self, tokens: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Run the tower.

        Args:
            tokens: (B, T) ids.
            attended: (B, T), 0 for padding.
        Returns:
            The first token's last state, (B, D) float32.
        """
        hidden: torch.Tensor = self._embeddings(input_ids=tokens).to(self._dtype)
        mask = None if bool(attended.all()) else attended.bool()[:, None, None, :]
        for layer in self._layers:
            hidden = layer(hidden, mask)
        return hidden[:, 0].float()


def _refuse_unfit(model: Any) -> None:
    if not can_pack():
        raise ModelError("this torch has no oneDNN for this processor; use encoding exact.")
    if model.config.hidden_act != "gelu":
        raise ModelError(f"the tower's activation is {model.config.hidden_act}, not gelu; use encoding exact.")


def _vit_parts(layer: Any, config: Any) -> _Parts:
    seen, mlp = layer.attention, layer.mlp
    norms = (layer.layernorm_before, layer.layernorm_after)
    heads = int(config.num_attention_heads)
    return _Parts(seen.q_proj, seen.k_proj, seen.v_proj, seen.o_proj, mlp.fc1, mlp.fc2, norms, heads, True)


def _bert_parts(layer: Any, config: Any) -> _Parts:
    own, out = layer.attention.self, layer.attention.output
    norms = (out.LayerNorm, layer.output.LayerNorm)
    up, down, heads = layer.intermediate.dense, layer.output.dense, int(config.num_attention_heads)
    return _Parts(own.query, own.key, own.value, out.dense, up, down, norms, heads, False)
