"""Linear layers of the encoder on a CPU: weights in oneDNN's order, in float32, bfloat16 or 8 bits.

oneDNN reads a weight in blocks. torch puts every weight into that order anew for each product; here it is done once,
and the activation function and the residual are taken in the same pass over the memory.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from assistant.model.eight_bits import EightBits

FastEncoding = Literal["float32", "bfloat16", "int8"]

_ROWS = 8 * 197
"""Rows that the weight's order is chosen for: a batch of pictures. Other numbers are right too."""


def can_pack() -> bool:
    """Whether this torch and this processor have oneDNN's linears."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class FastLinear:
    """A linear in float32 or bfloat16, with what follows it in the same pass.

    Args:
        weight: (out, in), on the CPU.
        bias: (out,), or None.
        dtype: float32 or bfloat16; float16 is never used on a CPU.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        weight = weight.detach().to(dtype).contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._bias = None if bias is None else bias.detach().to(dtype)

    def __call__(self, hidden: torch.Tensor, *, gelu: bool = False, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return the products of (…, in) inputs, then GELU if wanted, or the sum with `plus`."""
        made: torch.Tensor
        if plus is not None:
            made = torch.ops.mkldnn._linear_pointwise.binary(hidden, plus, self._weight, self._bias, "add")
            return made
        name, kind = ("gelu", "none") if gelu else ("none", "")  # "none" is GELU as it is, not by tanh
        made = torch.ops.mkldnn._linear_pointwise(hidden, self._weight, self._bias, name, [], kind)
        return made


class Int8Linear:
    """A linear whose weight has 8 bits with a scale for each output, and whose inputs get 8 bits on their way in.

    Each token has its own scale: what stands beside it in a batch changes nothing.

    Args:
        weight: (out, in), on the CPU.
        bias: (out,), or None.
    Raises:
        ModelError: this processor has no quick products of 8 bits.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = EightBits(weight, _ROWS)
        self._bias = None if bias is None else bias.detach().float()

    def __call__(self, hidden: torch.Tensor, *, gelu: bool = False, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return the products of (…, in) float32 inputs, then GELU if wanted, or the sum with `plus`."""
        made = self._weight(hidden.reshape(-1, hidden.shape[-1]))
        if self._bias is not None:
            made += self._bias
        made = made.view(*hidden.shape[:-1], -1)
        if plus is not None:
            return made.add_(plus)
        return nn.functional.gelu(made) if gelu else made


def fast_linear(encoding: FastEncoding, linears: list[nn.Linear]) -> FastLinear | Int8Linear:
    """Join linears that read the same input into one.

    Args:
        encoding: number format.
        linears: with equal inputs; either all have a bias or none.
    Returns:
        One linear whose outputs stand one after the other.
    """
    weight = torch.cat([one.weight.detach().float() for one in linears])
    biases = [one.bias.detach().float() for one in linears if one.bias is not None]
    bias = torch.cat(biases) if biases else None
    if encoding == "int8":
        return Int8Linear(weight, bias)
    return FastLinear(weight, bias, torch.float32 if encoding == "float32" else torch.bfloat16)
