"""Attention for one new token by two matrix products, where that is quicker than torch's own function.

Torch's `scaled_dot_product_attention` is made for many queries. For the one query of a decoding step two batched
products read the same bytes with less around them on some processors, and much slower on others; `paths` measures it.
Registered with transformers under a name, so that stock models run it; prompts still go through torch's function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "medassist_matmul"
"""What a model's configuration calls it while it is used."""


def decode_attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """Let one token of each row attend to all that came before it.

    Args:
        query: (B, Hq, 1, D).
        keys: (B, Hk, T, D); Hq is a multiple of Hk, and query heads that follow each other share a key head. Views of
            a larger room are read in place.
        values: as the keys.
        mask: (B, 1, 1, T) bool, true where a row may look; None where it may look everywhere.
        scale: of the products before the softmax, which is taken in float32.
    Returns:
        (B, Hq, 1, D).
    """
    batch, heads, _, width = query.shape
    shared, length = keys.shape[1], keys.shape[2]
    group = heads // shared
    rows = (query * scale).reshape(batch * shared, group, width)
    scores = torch.bmm(rows, keys.reshape(batch * shared, length, width).transpose(1, 2))
    if mask is not None:
        split = scores.view(batch, shared, group, length)
        scores = split.masked_fill(~mask, float("-inf")).view_as(scores)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
    return torch.bmm(weights, values.reshape(batch * shared, length, width)).view(batch, heads, 1, width)


def _forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Do as transformers' attention functions do; whatever is not one plain token goes to torch's own."""
    plain = query.shape[2] == 1 and key.shape[-1] == value.shape[-1] and not options.get("dropout")
    plain = plain and (attention_mask is None or (attention_mask.dtype is torch.bool and attention_mask.shape[1] == 1))
    if not plain or options.get("position_bias") is not None or options.get("softcap") is not None:
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return out, None
    scale = options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
    return decode_attention(query, key, value, attention_mask, scale).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _forward)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def matmul_attention(config: Any, wanted: bool) -> Iterator[None]:
    """Let the model of this configuration use the matrix products while the block runs.

    Args:
        config: of a language model that uses torch's function; another is left as it is.
        wanted: whether to do so at all.
    """
    if not wanted or config._attn_implementation != "sdpa":
        yield
        return
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"
