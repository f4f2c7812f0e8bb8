"""Whether a run computes in bfloat16: as its recipe says, or else by a short measurement on this machine."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from training.run_folder import RunFolder
from training.team import Team

logger = logging.getLogger(__name__)

FASTER = 1.3
"""How many times faster products must be before a CPU computes in bfloat16."""
NEAR = 0.01
"""Largest error of a product, as a share of its size."""


def settle_bf16(asked: bool | None, folder: RunFolder, team: Team, *, exact: bool = False) -> bool:
    """Return whether a run computes in bfloat16; what is chosen stands in its folder, and a resumed run keeps to it.

    Args:
        asked: the recipe's word; None leaves the choice to this machine.
        folder: of the run.
        team: the processes that train together; the first one chooses for all.
        exact: a CPU computes in float32 unless asked. A preference's loss is a difference of sums over two answers, of
            which bfloat16 takes about a hundredth.
    Returns:
        The same in every process.
    """
    if asked is not None:
        return asked
    choose = bf16_pays if torch.cuda.is_available() or not exact else (lambda: False)
    chosen = bool(folder.settle("bf16", choose)) if team.main else False
    return team.total(float(chosen)) > 0


@functools.cache
def bf16_pays() -> bool:
    """Return whether bfloat16 is in the hardware: on a GPU by its own word, on a CPU by a short measurement."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    left, weight = torch.randn(256, 512), torch.randn(512, 512)
    exact = F.linear(left, weight)
    near = F.linear(left.bfloat16(), weight.bfloat16()).float()
    error = float((near - exact).norm() / exact.norm())
    plain = _least(lambda: F.linear(left, weight))
    small, held = left.bfloat16(), weight.bfloat16()
    half = _least(lambda: F.linear(small, held))
    pays = plain > FASTER * half and error < NEAR
    logger.info(
        "bfloat16: products take %.2f of the time in float32 on this CPU, error %.4f; the run computes in %s",
        half / plain,
        error,
        "bfloat16" if pays else "float32",
    )
    return pays


def _least(work: Callable[[], Any], turns: int = 15) -> float:
    """Return the least seconds of some turns: what else the machine does only ever adds."""
    found = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found[3:])
