"""A model opened for training: which weights train, and how the result is written. Shared by the stages."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from assistant.errors import TrainingError
from assistant.model.contract import Contract
from assistant.model.load import adapter_base, check_base, load_model, resolve
from assistant.model.save import save_adapter, save_model
from training.adapter import LoraSettings, add_lora, continue_adapter
from training.sharding import shard_layers, whole
from training.team import Team

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn


class TrainedModel:
    """A model, or an adapter on its base, on the way through a stage.

    Args:
        name: "starter", a model folder, or an adapter folder, whose adapter is then trained on.
        train: "connector", "language_model", or both.
        lora: the language model changes by an adapter only.
        team: the processes that train together.
    Raises:
        ModelError: the folder is broken, or the adapter is on another base.
        TrainingError: the processes are to share out weights that cannot be shared out.
    """

    def __init__(self, name: str, train: Collection[str], lora: LoraSettings | None, team: Team | None = None) -> None:
        self._team, self._name = team or Team(), name
        if self._team.sharded and lora and lora.quantization:
            raise TrainingError(
                f"lora.quantization {lora.quantization} and FSDP do not go together, nor need they: in "
                f"{lora.quantization} the whole model fits each GPU. Launch with "
                "training/recipes/accelerate/gpus.yaml, or take the quantization out."
            )
        folder = resolve(name)
        base = adapter_base(folder)
        if base is not None:
            check_base(Contract.read(folder), folder, base)
        self._adapter = folder if base is not None else None
        self._train, self._lora = train, lora
        self.loaded = load_model(base or name, quantization=held_in(lora), device=self._team.device)
        self._network: nn.Module | None = None
        self._types: dict[str, torch.dtype] = {}

    @property
    def network(self) -> nn.Module:
        """The module that holds what is trained: the model, or PEFT's wrapper around it."""
        if self._network is None:
            network = set_trainable(self.loaded.llava, self._train, self._lora, self._adapter)
            for name, one in network.named_parameters():
                if one.requires_grad:
                    # What trains is held in float32: in bfloat16 small updates would be rounded away.
                    self._types[name] = one.dtype
                    one.data = one.data.float()
            self._team.copy_from_main(one for one in network.parameters() if one.requires_grad)
            if self._team.sharded:
                shard_layers(network, self._team.kind)
            self._network = network
        return self._network

    def write(self, out: Path) -> Path:
        """Write what was trained: a whole model folder, or an adapter folder. Of several processes, one writes.

        Args:
            out: folder to make.
        Returns:
            `out`.
        """
        network = self.network
        if self._team.sharded:
            self._write_gathered(out)
        elif self._team.main:
            self._write(network, out)
        self._team.wait()
        return out

    def _write_gathered(self, out: Path) -> None:
        """Put the parts of all processes together, and write them by way of a model that is whole."""
        trained = {
            name: whole(one.detach()).cpu() for name, one in self.network.named_parameters() if one.requires_grad
        }
        if not self._team.main:
            return
        other = TrainedModel(self._name, self._train, self._lora)
        network = other.network
        with torch.no_grad():
            for name, one in network.named_parameters():
                if name in trained:
                    one.copy_(trained[name])
        other._write(network, out)

    def _write(self, network: nn.Module, out: Path) -> Path:
        self.loaded.llava.eval()
        for name, one in network.named_parameters():
            if name in self._types:
                one.data = one.data.to(self._types[name])
        if self._lora is not None or self._adapter is not None:
            return save_adapter(cast("PeftModel", network), self.loaded, out)
        return save_model(self.loaded, out)


def held_in(lora: LoraSettings | None) -> Literal["nf4", "int8", "none"]:
    """Return how a model is loaded for training: what is not asked for is none at all.

    The contract's own quantization is for answering, and a model held in it could not be saved.
    """
    return (lora and lora.quantization) or "none"


def set_trainable(
    llava: Any, train: Collection[str], lora: LoraSettings | None, adapter: Path | None = None
) -> nn.Module:
    """Switch on what is trained; all else, the image tower always, stays frozen.

    Args:
        llava: a frozen `LlavaForConditionalGeneration`.
        train: "connector", "language_model", or both.
        lora: the language model changes by an adapter only.
        adapter: folder of the adapter to go on with.
    Returns:
        The module that holds what is trained: `llava`, or PEFT's wrapper around it.
    """
    llava.train()
    llava.model.vision_tower.eval()
    if adapter is not None:
        return continue_adapter(llava, adapter, lora, connector="connector" in train)
    if "connector" in train:
        llava.model.multi_modal_projector.requires_grad_(True)
    if lora is not None:
        return add_lora(llava, lora, connector="connector" in train)
    if "language_model" in train:
        llava.model.language_model.requires_grad_(True)
        llava.lm_head.requires_grad_(True)
    return cast("nn.Module", llava)
