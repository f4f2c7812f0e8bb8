"""Adapters that begin with more than nothing, written as plain LoRA on the base as it was.

PiSSA and OLoRA take a part of the weights out of the base and begin with it in the adapter; an adapter on top of
another begins on their sum. Either way the base in memory is W' = W + s B1 A1 for known thin matrices, and with the
trained s B A the whole is W + s [B B1] [A; A1]: one LoRA of the summed rank, on a base that nobody has to change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from assistant.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

Pieces = dict[str, tuple[Tensor, Tensor]]
"""Name of a linear to A1 and B1, in the scale of the adapter that trains."""


def lora_layers(network: PeftModel) -> Iterator[tuple[str, Any]]:
    """Yield the linears that have a LoRA, by name."""
    from peft.tuners.lora import LoraLayer

    for name, module in network.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def taken_out(network: PeftModel) -> Pieces:
    """Return what a fresh adapter took out of the base.

    Args:
        network: wrapped a moment ago, nothing trained yet.
    Returns:
        The initial matrices, the second with its sign turned.
    Raises:
        TrainingError: `lora.options` ask for what cannot be written as plain LoRA.
    """
    _refuse_unequal(cast("LoraConfig", network.peft_config["default"]))
    return {
        name: (one.lora_A["default"].weight.detach().clone(), -one.lora_B["default"].weight.detach().clone())
        for name, one in lora_layers(network)
    }


def below(network: PeftModel, folder: Path) -> Pieces:
    """Return the update of a saved adapter that a fresh one is put on top of.

    Args:
        network: the base with the first adapter merged, wrapped by the second.
        folder: of the first adapter.
    Returns:
        Its matrices, in the scale of the second.
    Raises:
        ConfigError: it is no plain LoRA, or changes other linears than the second.
        TrainingError: `lora.options` ask for what cannot be written as plain LoRA.
    """
    from peft import LoraConfig, PeftConfig
    from peft.utils import load_peft_weights

    first, second = PeftConfig.from_pretrained(str(folder)), cast("LoraConfig", network.peft_config["default"])
    _refuse_unequal(second)
    if type(first) is not LoraConfig or first.use_dora or first.rank_pattern or first.alpha_pattern:
        raise ConfigError(
            f"The adapter in {folder} is no plain LoRA, so none can be put on top of it. Merge it first: "
            "python -m training.merge."
        )
    weights = load_peft_weights(str(folder), device="cpu")
    names = {name.rpartition(".lora_A")[0] for name in weights if ".lora_A." in name}
    layers = dict(lora_layers(network))
    if names != set(layers):
        raise ConfigError(
            f"The adapter in {folder} changes {len(names)} linears and the one on top {len(layers)}, not the same "
            f"ones. Set lora.targets to {first.target_modules!r} and take lora.last_layers out, or merge it first: "
            "python -m training.merge."
        )
    factor = _scale(first) / _scale(second)
    return {name: (weights[f"{name}.lora_A.weight"], factor * weights[f"{name}.lora_B.weight"]) for name in names}


def _refuse_unequal(config: LoraConfig) -> None:
    if config.use_dora or config.rank_pattern or config.alpha_pattern:
        raise TrainingError(
            "lora.options has use_dora, rank_pattern or alpha_pattern, which cannot be written as the plain LoRA that "
            "this adapter becomes. Take it out."
        )


def _scale(config: LoraConfig) -> float:
    return config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)


@contextmanager
def joined(network: PeftModel, pieces: Pieces) -> Iterator[None]:
    """Put the pieces into the adapter for as long as it is written; the model itself is not to be run meanwhile.

    Args:
        network: what was trained.
        pieces: of every linear with a LoRA; nothing changes if there are none.
    Yields:
        Nothing; the adapter's settings and matrices are those of one plain LoRA.
    """
    if not pieces:
        yield
        return
    config: Any = network.peft_config["default"]
    settings = {name: getattr(config, name) for name in ("r", "lora_alpha", "init_lora_weights")}
    kept: list[tuple[Any, Tensor]] = []
    scale = _scale(config)
    try:
        for name, layer in lora_layers(network):
            first, second = layer.lora_A["default"], layer.lora_B["default"]
            kept += [(first, first.weight.data), (second, second.weight.data)]
            down, up = (one.to(first.weight) for one in pieces[name])
            first.weight.data = torch.cat([first.weight.data, down])
            second.weight.data = torch.cat([second.weight.data, up], dim=1)
            config.r = len(first.weight)
        alpha = scale * (math.sqrt(config.r) if config.use_rslora else config.r)
        config.lora_alpha = round(alpha) if math.isclose(alpha, round(alpha)) else alpha
        config.init_lora_weights = True
        yield
    finally:
        for module, weight in kept:
            module.weight.data = weight
        for name, value in settings.items():
            setattr(config, name, value)
