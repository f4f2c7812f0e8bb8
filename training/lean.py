"""Layers of a language model over a row of packs, in fewer passes over the memory; on a CPU, where those cost most.

A layer is half products; the rest of its time goes into norms, turns by positions, gates and casts, each of which
reads and writes all tokens' states several times. Here each of these is one function forth and one back, which works
on a few rows at a time so that what lies between stays in the cache, and hands on what the next product takes. And the
last layer is worked out only for the tokens whose states are asked for: the others serve as keys and values there.

The sums are those of transformers' Llama, Mistral and Qwen2, whose layers are written alike; others stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from training.joined import Row, attend

_FAMILIES = ("Llama", "Mistral", "Qwen2")
_ROWS = 128
"""Rows at a time: of a width of 2,048, half a megabyte in bfloat16."""


def take(model: nn.Module) -> bool:
    """Let a language model compute so, for as long as it is in memory; what is written stays the same.

    Args:
        model: with `layers`, as transformers has them.
    Returns:
        Whether it is of a kind that can, on the CPU; then its last layer gives the states that are asked for alone.
    """
    layers: list[Any] = list(getattr(model, "layers", ()))
    kinds = {name + "DecoderLayer" for name in _FAMILIES}
    if not layers or any(type(one).__name__ not in kinds or _elsewhere(one) for one in layers):
        return False
    for one in layers:
        _put(one, _last_layer if one is layers[-1] else _layer)
        _put(one.self_attn, _attention)
        if type(one.mlp.act_fn).__name__ in ("SiLU", "SiLUActivation"):
            _put(one.mlp, _mlp)
        _put(one.input_layernorm, _norm)
        _put(one.post_attention_layernorm, _norm)
    # The norm behind the last layer stays: few tokens come to it, and what reads its states may want all their bits.
    return True


def leave(model: nn.Module) -> None:
    """Undo `take`."""
    for one in model.modules():
        if getattr(vars(one).get("forward"), "__module__", "") == __name__:
            del vars(one)["forward"]


def _put(module: Any, forward: Any) -> None:
    vars(module)["forward"] = MethodType(forward, module)


def _elsewhere(module: nn.Module) -> bool:
    return any(one.device.type != "cpu" for one in module.parameters())


def _layer(self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **others: Any) -> Tensor:
    """Take the place of `forward` of a layer, which goes on for anything but a row."""
    return _run(self, hidden_states, attention_mask, others, last=False)


def _last_layer(self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **others: Any) -> Tensor:
    """Do as `_layer` does, for the tokens alone whose states are asked for."""
    return _run(self, hidden_states, attention_mask, others, last=True)


def _run(layer: Any, hidden: Tensor, mask: Tensor | None, others: dict[str, Any], *, last: bool) -> Tensor:
    if not isinstance(mask, Row):
        found: Tensor = type(layer).forward(layer, hidden, attention_mask=mask, **others)
        return found
    places = mask.packs.places if last else None
    through = partial(_through, layer, row=mask, positions=others["position_embeddings"], places=places)
    if layer.gradient_checkpointing and layer.training:
        # transformers checkpoints within the `forward` that this takes the place of.
        again: Tensor = layer._gradient_checkpointing_func(through, hidden)
        return again
    return through(hidden)


def _through(layer: Any, hidden: Tensor, row: Row, positions: tuple[Tensor, Tensor], places: Tensor | None) -> Tensor:
    """Run a layer; (1, T, D), or (1, number of places, D)."""
    seen, _ = layer.self_attn(
        hidden_states=layer.input_layernorm(hidden),
        position_embeddings=positions,
        attention_mask=row,
        places=places,
    )
    hidden = (hidden if places is None else hidden[:, places]) + seen
    result: Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return result


def _attention(
    self: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None,
    past_key_values: Any = None,
    places: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Take the place of `forward` of attention, which goes on for anything but a row."""
    if not isinstance(attention_mask, Row):
        found: tuple[Tensor, Tensor | None] = type(self).forward(
            self, hidden_states, position_embeddings, attention_mask, past_key_values, **others
        )
        return found
    cos, sin = (one[0].float() for one in position_embeddings)
    asking = hidden_states if places is None else hidden_states[:, places]
    turns = (cos, sin) if places is None else (cos[places], sin[places])
    query = _Turned.apply(self.q_proj(asking).view(asking.shape[1], -1, self.head_dim), *turns)
    key = _Turned.apply(self.k_proj(hidden_states).view(hidden_states.shape[1], -1, self.head_dim), cos, sin)
    value = self.v_proj(hidden_states).view(*hidden_states.shape[:-1], -1, self.head_dim).transpose(1, 2)
    dropout = self.attention_dropout if self.training else 0.0
    seen, _ = attend(self, query, key, value, attention_mask, self.scaling, dropout, places_alone=places is not None)
    return self.o_proj(seen.flatten(2)), None


def _mlp(self: Any, x: Tensor) -> Tensor:
    """Take the place of `forward` of a gated MLP."""
    found: Tensor = self.down_proj(_Gated.apply(self.gate_proj(x), self.up_proj(x)))
    return found


def _norm(self: Any, hidden_states: Tensor) -> Tensor:
    """Take the place of `forward` of a norm; in the type that the next product takes."""
    kind = hidden_states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_states.dtype
    found: Tensor = _Normed.apply(hidden_states, self.weight, self.variance_epsilon, dtype)
    return found


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, min(rows, start + _ROWS)) for start in range(0, rows, _ROWS))


class _Normed(torch.autograd.Function):
    """x / sqrt(mean of its squares + epsilon) times a weight, summed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        result = torch.empty(flat.shape, dtype=dtype)
        scales = torch.empty(len(flat), 1)
        held = weight.float()
        for part in _parts(len(flat)):
            rows = flat[part].float()
            length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
            scales[part] = length.square_().div_(rows.shape[1]).add_(epsilon).rsqrt_()
            result[part] = (rows * scales[part]).mul_(held)
        ctx.save_for_backward(flat, scales, weight)
        return result.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        flat, scales, weight = ctx.saved_tensors
        wants_weight = ctx.needs_input_grad[1]
        given = gradients[0].reshape(flat.shape)
        of_x, held = torch.empty_like(flat), weight.float()
        of_weight = torch.zeros_like(held) if wants_weight else None
        for part in _parts(len(flat)):
            rows, scale, own = flat[part].float(), scales[part], given[part].float()
            if of_weight is not None:
                of_weight += (own * rows).mul_(scale).sum(0)
            own = own * held
            along = (own * rows).sum(-1, keepdim=True).mul_(scale**3).div_(-rows.shape[1])
            of_x[part] = own.mul_(scale).addcmul_(rows, along)
        return of_x.view(gradients[0].shape), None if of_weight is None else of_weight.to(weight.dtype), None, None


class _Gated(torch.autograd.Function):
    """silu(gate) * up; (…, D)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        gates, ups = (one.reshape(-1, one.shape[-1]) for one in (gate, up))
        result = torch.empty_like(gates)
        for part in _parts(len(gates)):
            torch.mul(nn.functional.silu(gates[part]), ups[part], out=result[part])
        return result.view(gate.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        shape = gradients[0].shape
        gates, ups, given = (one.reshape(-1, shape[-1]) for one in (*ctx.saved_tensors, gradients[0]))
        of_gate, of_up = torch.empty_like(gates), torch.empty_like(ups)
        for part in _parts(len(gates)):
            torch.mul(given[part], nn.functional.silu(gates[part]), out=of_up[part])
            of_gate[part] = torch.ops.aten.silu_backward(given[part] * ups[part], gates[part])
        return of_gate.view(shape), of_up.view(shape)


class _Turned(torch.autograd.Function):
    """Queries or keys turned by their positions: (T, H, D) to (1, H, T, D), cosines and sines (T, D) in float32.

    Both halves of a head have the same angles (Su et al., RoFormer, 2021, as transformers lays it out).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x.transpose(0, 1), cos, sin)[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turn(gradients[0][0], cos, -sin).transpose(0, 1), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (H, T, D), head by head, each of which fits the cache."""
    result, half = torch.empty(x.shape, dtype=x.dtype), x.shape[-1] // 2
    for head, turned in zip(x, result, strict=True):
        own = head.float().contiguous()
        made = own * cos
        made[:, :half].addcmul_(own[:, half:], sin[:, :half], value=-1)
        made[:, half:].addcmul_(own[:, :half], sin[:, half:])
        turned.copy_(made)
    return result
