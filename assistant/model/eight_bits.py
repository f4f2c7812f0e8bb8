"""Products in 8 bits on a CPU, by oneDNN: a scale for each output of the weight, and one for each token of the input.

Inputs are put in as 0 to 255 around 128. Processors that multiply 8 bits at once (VNNI) take one factor without a sign;
for two with a sign oneDNN falls back to a plain loop that is a thousand times slower, on AMD's Zen 4 for one.
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch

from assistant.errors import ModelError

_LEAST = 1e-12
_MIDDLE = 128
_PROBE = 192
"""Rows, inputs and outputs of the product that is tried."""
_SLOWEST_S = 0.02
"""For that product, of seven million: the plain loop takes 0.1 s, a processor that can do it less than a thousandth."""


class EightBits:
    """A weight in 8 bits that multiplies inputs in 8 bits; the sums are exact integers.

    Args:
        weight: (out, in), on the CPU.
        rows: how many tokens at once its order is chosen for; other numbers are right too.
    Raises:
        ModelError: this processor or this torch cannot do it, or not in useful time.
    """

    def __init__(self, weight: torch.Tensor, rows: int) -> None:
        if (fault := why_not()) is not None:
            raise ModelError(f"8 bits are not to be had on this machine: {fault}. Use bfloat16, or exact.")
        weight = weight.detach().float()
        self._scale = weight.abs().amax(1).clamp_min(_LEAST) / 127
        self._packed = _pack((weight / self._scale[:, None]).round_().to(torch.int8), rows)
        self._zero = torch.zeros(len(weight), dtype=torch.int32)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the (n, out) float32 products of (n, in) float32 inputs; no row changes another."""
        low, high = torch.aminmax(rows, dim=-1, keepdim=True)
        scale = torch.maximum(-low, high).clamp_min_(_LEAST).div_(127)
        whole = (rows / scale).round_().add_(_MIDDLE).to(torch.uint8)
        return _product(whole, self._packed, self._scale, self._zero).mul_(scale)


@lru_cache(maxsize=1)
def why_not() -> str | None:
    """Try one product in 8 bits; return why it is of no use here, None if it is right and quick."""
    try:
        weight = torch.full((_PROBE, _PROBE), 127, dtype=torch.int8)
        inputs = torch.full((_PROBE, _PROBE), 255, dtype=torch.uint8)
        packed, one = _pack(weight, _PROBE), torch.ones(_PROBE)
        zero, least = torch.zeros(_PROBE, dtype=torch.int32), float("inf")
        with torch.inference_mode():
            for _ in range(3):
                started = time.perf_counter()
                made = _product(inputs, packed, one, zero)
                least = min(least, time.perf_counter() - started)
                if least > 10 * _SLOWEST_S:
                    break
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
    if not torch.equal(made, torch.full_like(made, (255 - _MIDDLE) * 127 * _PROBE)):  # sums of 16 bits overflow
        return "its sums of 8-bit products are cut off"
    return None if least <= _SLOWEST_S else "it has no quick products of 8 bits"


def _pack(whole: torch.Tensor, rows: int) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.onednn.qlinear_prepack(whole, [rows, whole.shape[1]])
    return packed


def _product(whole: torch.Tensor, packed: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
        whole, 1.0, _MIDDLE, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return made
