"""Linear layers in the order that oneDNN reads them, and in 8 bits; a view of a model that uses them.

The model itself is never touched: `with_linears` gives a second tree of modules that shares every parameter and holds
other linears. Saving, merging, training and fingerprints see the model as it was loaded. Layers of an adapter and
quantized ones are left as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import nn

from assistant.model.eight_bits import EightBits

ROWS = (1, 16, 128)
"""For how many tokens at once a linear is measured: one answer, a batch of them, a prompt."""
Use = tuple[bool, bool, bool]
"""For each of `ROWS`, whether the packed way is taken."""


def bucket(rows: int) -> int:
    """Return which of `ROWS` stands for this many tokens."""
    return 0 if rows == 1 else 1 if rows <= 64 else 2


def can_pack() -> bool:
    """Whether this torch has oneDNN's packed linear."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """A linear that reads its weight in oneDNN's order where that is quicker; the sums are those of float32.

    Args:
        linear: whose weight and bias to use, float32 or bfloat16, on the CPU.
        use: for how many tokens to take the packed weight.
    """

    def __init__(self, linear: nn.Linear, use: Use) -> None:
        super().__init__()
        self.weight, self.bias, self.use = linear.weight, linear.bias, use
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS[1])

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the (…, out) products of (…, in) inputs."""
        rows = hidden.numel() // hidden.shape[-1]
        if self.use[bucket(rows)]:
            made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self._packed, self.bias, "none", [], "")
            return made
        return nn.functional.linear(hidden, self.weight, self.bias)


_packed: WeakKeyDictionary[nn.Module, tuple[int, PackedLinear]] = WeakKeyDictionary()
"""Linears that were packed before, with the version of their weight: an adapter's training leaves them as they are."""


def repacked(linear: nn.Linear, use: Use) -> PackedLinear:
    """Return the packed form of a linear, made before if its weight is still the same."""
    version = 0 if linear.weight.is_inference() else linear.weight._version
    known = _packed.get(linear)
    if known is None or known[0] != version or known[1].weight is not linear.weight or known[1].use != use:
        known = (version, PackedLinear(linear, use))
        _packed[linear] = known
    return known[1]


class Int8Linear(nn.Module):
    """A linear whose weight has 8 bits with a scale for each output, and whose inputs get 8 bits on their way in.

    Each token has its own scale, so that what stands beside it in a batch changes nothing; the sums are exact integers.

    Args:
        linear: whose weight and bias to use, on the CPU.
    Raises:
        ModelError: this processor has no quick products of 8 bits.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = EightBits(linear.weight, ROWS[1])
        self._bias = linear.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the (…, out) products of (…, in) inputs, in the inputs' type."""
        made = self._weight(hidden.reshape(-1, hidden.shape[-1]).float())
        made = made.to(hidden.dtype).view(*hidden.shape[:-1], -1)
        return made if self._bias is None else made + self._bias


def with_linears(module: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Return a tree of modules like this one, with other linears and the same parameters.

    Args:
        module: stays as it is.
        make: given a plain linear, returns what takes its place, or the same.
    Returns:
        The module itself where nothing in it changes.
    """
    if type(module) is nn.Linear:
        return make(module)
    # An adapter's layer has its base inside; a hook has taken the place of `forward` and is bound to its own module.
    if hasattr(module, "base_layer") or hasattr(module, "_hf_hook"):
        return module
    children = {name: child and with_linears(child, make) for name, child in module._modules.items()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    made = copy.copy(module)
    made._modules = children
    return made


def plain_linears(module: nn.Module) -> list[nn.Linear]:
    """Return the linears that `with_linears` would offer."""
    found: list[nn.Linear] = []

    def note(linear: nn.Linear) -> nn.Module:
        found.append(linear)
        return linear

    with_linears(module, note)
    return found
