"""Averages the weights of models tuned from the same start: often better than each of them (Wortsman et al. 2022)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.ending import print_what, run_command
from assistant.errors import ConfigError, ModelError

SAME = ("encoder", "image_size", "image_tokens", "tiles", "template", "vocabulary", "eos_token_ids", "prompt_version")
"""Fields of the contract in which the models must agree."""


def average_models(models: Sequence[str | Path], out: Path, weights: Sequence[float] | None = None) -> Path:
    """Write the weighted mean of some whole models.

    Args:
        models: folders, at least two; the first one's contract and processor are kept.
        out: folder to make.
        weights: one a model, scaled to sum to 1; None for equal ones.
    Returns:
        `out`.
    Raises:
        ConfigError: fewer than two models, or weights that do not fit.
        ModelError: the models differ in more than their weights.
    """
    import torch

    from assistant.model.load import load_model
    from assistant.model.naming import made_name
    from assistant.model.save import save_model

    shares = list(weights or [1.0] * len(models))
    if len(models) < 2 or len(shares) != len(models) or min(shares) < 0 or not sum(shares):
        raise ConfigError(
            f"{len(models)} model(s) and {len(shares)} weight(s) {shares}; give two models or more, and one weight of "
            "0 or more for each."
        )
    first = load_model(models[0], device="cpu", dtype="float32", quantization="none")
    total: dict[str, Any] = {
        name: one.detach() * (shares[0] / sum(shares)) for name, one in first.llava.named_parameters()
    }
    for folder, share in zip(models[1:], shares[1:], strict=True):
        other = load_model(folder, device="cpu", dtype="float32", quantization="none")
        differ = [name for name in SAME if getattr(first.contract, name) != getattr(other.contract, name)]
        found = dict(other.llava.named_parameters())
        if differ or {name: one.shape for name, one in found.items()} != {
            name: one.shape for name, one in total.items()
        }:
            raise ModelError(
                f"{folder} and {models[0]} cannot be averaged: they differ in {', '.join(differ) or 'shape'}. "
                "Average models that were tuned from the same start; merge adapters first."
            )
        for name, one in found.items():
            total[name] += one.detach() * (share / sum(shares))
    with torch.no_grad():
        for name, one in first.llava.named_parameters():
            one.copy_(total[name])
    return save_model(first, out, name=made_name(first.contract.name, Path(out)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.average MODEL MODEL… --out DIR`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 done, 2 wrong usage or models that do not fit together.
    """
    parser = argparse.ArgumentParser(prog="python -m training.average", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model folders, the first of which is kept in form")
    parser.add_argument("--weights", type=float, nargs="+", metavar="W", help="one a model (default: equal)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to make")
    arguments = parser.parse_args(argv)
    return print_what(lambda: average_models(arguments.models, arguments.out, arguments.weights))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
