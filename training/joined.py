"""Packs of different lengths in one row, end to end, so that nothing is spent on padding.

Everything in a language model but attention treats a token by itself, so packs can share a row; attention is computed
for each pack alone. That is what kernels for sequences of varying length do, here with the branches of a pack besides
(`training.dataset`). It goes in by the interface that transformers has for kinds of attention.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NAME = "packs"
"""Of this kind of attention, in a model's configuration."""
_MOST = 1024
"""Tokens of a pack up to which plain products are used on a CPU: they keep all weights for the backward pass."""


@dataclass(frozen=True)
class Layout:
    """Where packs lie in a row."""

    lengths: tuple[int, ...]
    """Of each pack, in tokens; T in all."""
    masks: tuple[Tensor | None, ...]
    """Which tokens each token of a pack sees, bool (L, L); None where it is all earlier ones."""
    asked: tuple[Tensor, ...] | None = None
    """Numbers of the tokens in each pack whose states are read in the end; None for all."""

    @cached_property
    def places(self) -> Tensor | None:
        """Numbers of the same tokens in the row, (A,)."""
        if self.asked is None:
            return None
        starts = itertools.accumulate(self.lengths, initial=0)
        return torch.cat([one + start for one, start in zip(self.asked, starts, strict=False)])


class Row(Tensor):
    """What goes to the layers in place of a mask, bool (1, 1, 1, T), and brings the layout with it."""

    packs: Layout


def use_rows(config: Any) -> None:
    """Let a language model take rows of packs beside all that it takes otherwise.

    Args:
        config: of the language model; one whose attention is not computed by torch's own routine is left as it is.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        config._attn_implementation = NAME


def lay_out(branch: Tensor, device: torch.device | str, wanted: Tensor | None = None) -> Tensor:
    """Describe a batch of packs as one row.

    Args:
        branch: (B, L) which branch of its pack each token belongs to: 0 the prefix, -1 padding.
        device: of the model.
        wanted: bool (B, L), tokens whose states are read in the end; None for all.
    Returns:
        What stands in place of a mask.
    """
    lengths, masks = [], []
    for one in branch:
        own = one[one >= 0]
        lengths.append(len(own))
        masks.append(None if int(own.max()) < 2 else seen(own[None])[0].to(device))
    # Of a type that nothing on the way casts: a cast would lose the layout.
    row = torch.zeros(1, 1, 1, sum(lengths), dtype=torch.bool, device=device).as_subclass(Row)
    asked = None
    if wanted is not None:
        asked = tuple(one[places >= 0].nonzero()[:, 0].to(device) for one, places in zip(wanted, branch, strict=True))
    row.packs = Layout(tuple(lengths), tuple(masks), asked)
    return row


def seen(branch: Tensor) -> Tensor:
    """Return which tokens each token sees: itself, and earlier ones of its branch and of the prefix.

    Args:
        branch: (B, L), see `lay_out`.
    Returns:
        bool (B, L, L).
    """
    length = branch.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    same = (branch[:, :, None] == branch[:, None, :]) | (branch[:, None, :] == 0)
    # Every row keeps its own token, padding too: a row that sees nothing would turn into NaN.
    return (same & earlier) | torch.eye(length, dtype=torch.bool)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    places_alone: bool = False,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend within each pack of a row; with any other mask, as torch's own routine does.

    Args:
        module: the layer.
        query: (1, H, T, D), turned by their positions.
        key: (1, K, T, D), H a multiple of K.
        value: (1, K, T, D).
        attention_mask: of `lay_out`.
        scaling: of the products.
        dropout: on the weights of attention.
        places_alone: queries are of the layout's `places` only, (1, H, A, D).
        **others: for other kinds of attention.
    Returns:
        (1, T, H, D), and no weights.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if not isinstance(attention_mask, Row):
        given: Any = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
        return given[0], None
    layout, kind = attention_mask.packs, query.device.type
    if torch.is_autocast_enabled(kind):
        # Turned by positions in float32, as cosines are; products are of what autocast makes of them.
        query, key, value = (one.to(torch.get_autocast_dtype(kind)) for one in (query, key, value))
    groups = query.shape[1] // key.shape[1]
    masks, asking = layout.masks, layout.lengths
    if places_alone and layout.asked is not None:
        asking = tuple(map(len, layout.asked))
        masks = tuple(map(_rows_of, layout.masks, layout.asked, layout.lengths))
    keys, values = (repeat_kv(one, groups).split(layout.lengths, 2) for one in (key, value))
    parts = zip(query.split(asking, 2), keys, values, masks, strict=True)
    found = [_within(q, k, v, mask, scaling, dropout) for q, k, v, mask in parts]
    return torch.cat(found, 2).transpose(1, 2).contiguous(), None


def _rows_of(mask: Tensor | None, asked: Tensor, length: int) -> Tensor:
    """Return what the tokens asked for see, bool (A, L)."""
    if mask is not None:
        return mask[asked]
    return torch.arange(length, device=asked.device) <= asked[:, None]


def _within(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float | None, dropout: float) -> Tensor:
    """Attend within one pack; (1, H, L, D)."""
    if q.device.type == "cpu" and q.dtype is torch.bfloat16 and q.shape[2] <= _MOST and not dropout:
        scale = q.shape[-1] ** -0.5 if scaling is None else scaling
        hidden: Tensor = _Products.apply(q[0], k[0], v[0], _barred(mask, q), scale)
        return hidden[None]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling, dropout_p=dropout
    )


def _barred(mask: Tensor | None, like: Tensor) -> Tensor:
    """Return what is added to products: 0 where a token sees, the least number where not; (1, L, L)."""
    length = like.shape[2]
    sees = torch.ones(length, length, dtype=torch.bool).tril() if mask is None else mask
    zeros = torch.zeros(1, *sees.shape, dtype=like.dtype)
    return zeros.masked_fill_(~sees, torch.finfo(like.dtype).min)


class _Products(torch.autograd.Function):
    """Attention by plain products: on a CPU 0.6 of the time of torch's own routine, both ways together."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, barred: Tensor, scale: float) -> Tensor:
        weights = torch.baddbmm(barred, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale = scale
        return torch.bmm(weights, v)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        (of_result,) = gradients
        of_weights = torch.bmm(of_result, v.transpose(1, 2))
        of_products = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        return (
            torch.bmm(of_products, k),
            torch.bmm(of_products.transpose(1, 2), q),
            torch.bmm(weights.transpose(1, 2), of_result),
            None,
            None,
        )
