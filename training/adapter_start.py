"""What some methods do to a fresh LoRA before its first step: hold a matrix, or begin with a rounding error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from assistant.errors import ModelError
from assistant.model.folder import weight_files
from training.adapter_pieces import lora_layers

if TYPE_CHECKING:
    from peft import PeftModel


def hold_a(network: PeftModel, how: Literal["plain", "projected"]) -> None:
    """Keep every first matrix as it is, so that the second alone trains.

    Args:
        network: wrapped by LoRA.
        how: "projected" changes the second's gradient g to g (A A^T)^-1 / s^2, which moves the update s B A as near as
            it can along the gradient of the full weights, whatever A happens to be.
    Source: Zhang et al., LoRA-FA, 2023; the projection is that of PEFT's own optimizer for it.
    """
    for _, layer in lora_layers(network):
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        down.requires_grad_(False)
        if how == "projected":
            up.register_hook(_Projection(down, layer.scaling["default"]))


class _Projection:
    """Changes a gradient; the inverse is worked out when it is first asked for, with the weights as they are then."""

    def __init__(self, down: Tensor, scale: float) -> None:
        self.down, self.scale = down, scale
        self.inverse: Tensor | None = None

    def __call__(self, gradient: Tensor) -> Tensor:
        if self.inverse is None:
            down = self.down.detach().float()
            self.inverse = torch.linalg.pinv(down @ down.T) / self.scale**2
        return (gradient.float() @ self.inverse).to(gradient.dtype)


def begin_with_rounding(network: PeftModel, folder: Path) -> None:
    """Begin every LoRA with the best thin form of what rounding to 4 bits took from its linear.

    Args:
        network: wrapped by LoRA, its linears held in 4 bits.
        folder: of the base, whose files hold the weights before rounding.
    Raises:
        ModelError: the files have no weights for a linear.
    Source: Li et al., LoftQ, 2023; one step, so the base stays as everybody rounds it.
    """
    from bitsandbytes.functional import dequantize_4bit

    for name, layer in lora_layers(network):
        base: Any = layer.get_base_layer()
        held = dequantize_4bit(base.weight.data, base.weight.quant_state).float()
        error = _weight(folder, name).to(held) - held
        rank, scale = layer.r["default"], layer.scaling["default"]
        left, values, right = torch.linalg.svd(error, full_matrices=False)
        root = values[:rank].sqrt()
        for matrix, value in (
            (layer.lora_A["default"].weight, root[:, None] * right[:rank]),
            (layer.lora_B["default"].weight, left[:, :rank] * root / scale),
        ):
            matrix.data = value.to(matrix)


def _weight(folder: Path, name: str) -> Tensor:
    """Read one linear's weight; files keep older names of the modules than the model in memory."""
    from safetensors import safe_open

    _, found, rest = name.rpartition("language_model.")
    wanted = f"{rest}.weight"
    for file in weight_files(folder):
        with safe_open(folder / file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118
                if found and "language_model." in key and key.endswith(f".{wanted}"):
                    tensor: Tensor = opened.get_tensor(key)
                    return tensor
    raise ModelError(f"{folder} has no weights for {name}, which LoftQ compares with 4 bits. Use another lora.method.")
