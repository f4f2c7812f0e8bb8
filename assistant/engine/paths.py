"""Which ways the language model takes on this machine: measured once for each shape of layer, then remembered.

What is quicker differs from processor to processor and from one version of torch to the next, so nothing is taken
for granted. Only ways that compute the same are measured against each other; fewer bits are a matter of settings.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from assistant.engine.attention import decode_attention
from assistant.engine.linears import ROWS, Use, can_pack
from assistant.remembered import Remembered

logger = logging.getLogger(__name__)

FILE = "engine-paths.json"
_GAIN = 0.93
"""A way is taken where it needs at most this share of the usual one's time."""
_MOST_SUMS = 5e8
"""Products of a linear above which a prompt's worth of tokens is not tried: it would take too long."""
_known: dict[str, list[bool]] = {}


@dataclass(frozen=True)
class Paths:
    """The ways that were chosen for one model."""

    precision: str
    """Of the language model: `exact` is that of its weights."""
    packed: dict[tuple[int, int], Use]
    """By (outputs, inputs) of a linear: for which of `linears.ROWS` the packed way is taken."""
    matmul: tuple[bool, bool]
    """Whether a step of one row, and of several, attends by matrix products."""
    step: str = "growing"
    """How a step of one token runs: over what is there, over a room of fixed size, or that as a CUDA graph."""

    def describe(self) -> str:
        """Return the ways in a line."""
        ways = [f"precision {self.precision}"]
        taken = sum(any(use) for use in self.packed.values())
        ways.append(f"oneDNN-packed linears for {taken} of {len(self.packed)} shapes")
        told = {(True, True): "matmul", (False, False): "torch's own"}
        ways.append(
            f"decode attention {told.get(self.matmul, 'matmul for ' + ('one row' if self.matmul[0] else 'batches'))}"
        )
        rooms = {"static": "steps over a room of fixed size", "graph": "steps as one CUDA graph"}
        return ", ".join([*ways, *([rooms[self.step]] if self.step in rooms else [])])


def quickest(ways: Sequence[Callable[[], Any]], repeats: int = 3) -> list[float]:
    """Return the least seconds of each way, run in turn after one run that does not count."""
    least = [float("inf")] * len(ways)
    for turn in range(repeats + 1):
        for place, way in enumerate(ways):
            started = time.perf_counter()
            way()
            if turn:
                least[place] = min(least[place], time.perf_counter() - started)
    return least


def packed_use(linear: nn.Linear, wanted: str = "auto") -> Use:
    """Return where oneDNN's packed weight is quicker than torch's own linear.

    Args:
        linear: on the CPU, float32 or bfloat16.
        wanted: "auto" measures; "packed" and "torch" are always and never.
    Returns:
        For each of `linears.ROWS`.
    """
    kind = linear.weight.dtype
    if wanted == "torch" or not can_pack() or linear.weight.is_cuda or kind not in (torch.float32, torch.bfloat16):
        return (False, False, False)
    if wanted == "packed":
        return (True, True, True)
    outputs, inputs = linear.weight.shape
    found = _remembered(f"linear {outputs}x{inputs} {kind}", lambda: _measure_linear(outputs, inputs, kind))
    return (found[0], found[1], found[2])


def _measure_linear(outputs: int, inputs: int, kind: torch.dtype) -> list[bool]:
    weight = torch.full((outputs, inputs), 0.01, dtype=kind)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS[1])
    found: list[bool] = []
    for rows in ROWS:
        hidden = torch.ones((rows, inputs), dtype=kind)
        if rows == ROWS[-1] and rows * outputs * inputs > _MOST_SUMS:
            found.append(found[-1])
            continue
        own, other = quickest(
            (
                partial(nn.functional.linear, hidden, weight),
                partial(torch.ops.mkldnn._linear_pointwise, hidden, packed, None, "none", [], ""),
            ),
            repeats=3 if rows == ROWS[-1] else 9,
        )
        found.append(other < _GAIN * own)
    return found


def matmul_use(config: Any, kind: torch.dtype, device: str, wanted: str = "auto") -> tuple[bool, bool]:
    """Return where matrix products are quicker than torch's own attention for one new token.

    Args:
        config: of the language model.
        kind: of its keys and values.
        device: where it runs; only a CPU is measured.
        wanted: "auto" measures; "matmul" and "torch" are always and never.
    Returns:
        For one row, and for several.
    """
    if wanted != "auto" or device != "cpu":
        return (wanted == "matmul", wanted == "matmul")
    heads = int(config.num_attention_heads)
    shared = int(getattr(config, "num_key_value_heads", None) or heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    found = _remembered(
        f"attention {heads}/{shared}x{width} {kind}", lambda: _measure_attention(heads, shared, width, kind)
    )
    return (found[0], found[1])


def _measure_attention(heads: int, shared: int, width: int, kind: torch.dtype) -> list[bool]:
    found = []
    for rows in (1, 16):
        query = torch.ones((rows, heads, 1, width), dtype=kind)
        keys, values = torch.ones((2, rows, shared, 320, width), dtype=kind)[..., :300, :]
        mask = torch.ones((rows, 1, 1, 300), dtype=torch.bool)
        own, other = quickest(
            (
                partial(_own_attention, query, keys, values, mask),
                partial(decode_attention, query, keys, values, mask, width**-0.5),
            ),
            repeats=5,
        )
        found.append(other < _GAIN * own)
    return found


def _own_attention(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Attend as transformers lets torch do it: heads that share keys stand beside each other as queries."""
    rows, shared, _, width = keys.shape
    grouped = query.reshape(rows, shared, -1, width)
    return nn.functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)


def _remembered(what: str, measure: Callable[[], list[bool]]) -> list[bool]:
    """Return what was found before, by this process or another on this machine; else measure it."""
    key = f"{what}; {torch.get_num_threads()}"
    if key not in _known:
        store = Remembered(FILE)
        found = (store.get(what) or {}).get("quicker")
        if not (isinstance(found, list) and all(isinstance(one, bool) for one in found) and found):
            started = time.perf_counter()
            with torch.inference_mode():
                found = measure()
            logger.info("measured %s in %.2f s: %s", what, time.perf_counter() - started, found)
            store.put(what, {"quicker": found})
        _known[key] = found
    return _known[key]


def forget() -> None:
    """Forget what this process has measured or read; the file stays."""
    _known.clear()
