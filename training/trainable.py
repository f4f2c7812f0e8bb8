"""A model opened for training: which weights train, and how the result is written. Shared by the stages."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from assistant.errors import ConfigError, TrainingError
from assistant.model.adapter import attach
from assistant.model.contract import Contract
from assistant.model.load import adapter_base, check_base, load_model, resolve
from assistant.model.naming import made_name
from assistant.model.save import save_adapter, save_model
from training.adapter import LoraSettings, add_lora, continue_adapter
from training.adapter_methods import METHODS
from training.adapter_pieces import Pieces, below, joined, taken_out
from training.adapter_start import begin_with_rounding
from training.sharding import shard_layers, whole
from training.team import Team

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn


_PACKS = "support_avx512bf16_for_cpu"
"""What bitsandbytes asks a 4-bit linear before it packs it."""


class TrainedModel:
    """A model, or an adapter on its base, on the way through a stage.

    Args:
        name: "starter", a model folder, or an adapter folder, whose adapter is then trained on.
        train: any of `train_parts.PARTS`.
        lora: the language model changes by an adapter only.
        team: the processes that train together.
        last_layers: without an adapter, so many layers of the language model train; None for all.
    Raises:
        ModelError: the folder is broken, or the adapter is on another base.
        TrainingError: the processes are to share out weights that cannot be shared out.

    Attributes:
        source: the folder of what was opened.
        loaded: the model, or the adapter's base.
    """

    def __init__(
        self,
        name: str,
        train: Collection[str],
        lora: LoraSettings | None,
        team: Team | None = None,
        *,
        last_layers: int | None = None,
    ) -> None:
        self._team, self._name = team or Team(), name
        if self._team.sharded and lora and lora.quantization:
            raise TrainingError(
                f"lora.quantization {lora.quantization} and {self._team.sharding} do not go together, nor need they: "
                f"in {lora.quantization} the whole model fits each GPU. Launch with "
                "training/recipes/accelerate/gpus.yaml, or take the quantization out."
            )
        if self._team.sharded and lora and not METHODS[lora.method].shards:
            raise TrainingError(
                f"lora.method {lora.method} needs whole matrices, which {self._team.sharding} spreads out. Launch with "
                "training/recipes/accelerate/gpus.yaml, or choose another method."
            )
        folder = resolve(name)
        base = adapter_base(folder)
        if base is not None:
            check_base(Contract.read(folder), folder, base)
        self.source = folder
        self._adapter = folder if base is not None else None
        self._train, self._lora, self._last_layers = train, lora, last_layers
        self.loaded = load_model(base or name, quantization=held_in(lora), device=self._team.device)
        keep_differentiable(self.loaded.llava)
        self._below = self._merge_first() if lora is not None and lora.on_top else None
        self._pieces: Pieces = {}
        self._network: nn.Module | None = None
        self._types: dict[str, torch.dtype] = {}

    @property
    def network(self) -> nn.Module:
        """The module that holds what is trained: the model, or PEFT's wrapper around it."""
        if self._network is None:
            network = self._prepare()
            for name, one in network.named_parameters():
                if one.requires_grad:
                    # What trains is held in float32: in bfloat16 small updates would be rounded away.
                    self._types[name] = one.dtype
                    one.data = one.data.float()
            self._team.copy_from_main(one for one in network.parameters() if one.requires_grad)
            if self._team.sharding == "FSDP":
                shard_layers(network, self._team.kind)
            self._network = network
        return self._network

    def _prepare(self) -> nn.Module:
        """Switch on what is trained, and do what a method does before the first step."""
        # What the adapter below has of a connector goes with the new one, trained on or not.
        carried = {"connector"} if self._below is not None and _has_connector(self._below) else set()
        train = {*self._train, *carried}
        network = set_trainable(self.loaded.llava, train, self._lora, self._adapter, self._last_layers)
        if carried - set(self._train):
            _freeze_connector(network)
        if self._lora is not None and self._adapter is None:
            self._begin(cast("PeftModel", network), self._lora)
        return network

    def _merge_first(self) -> Path:
        """Add the adapter to its base in memory, to put another on top; returns its folder."""
        folder, self._adapter = self._adapter, None
        if folder is None:
            raise ConfigError(f"lora.on_top is true, but {self.source} is no adapter. Take it out, or name an adapter.")
        attach(self.loaded.llava, folder, merge=True).requires_grad_(False)
        return folder

    def _begin(self, network: PeftModel, lora: LoraSettings) -> None:
        """Begin as the method does, and remember what it took from the base or stands on."""
        if METHODS[lora.method].only_quantized:
            begin_with_rounding(network, self.loaded.folder)
        if METHODS[lora.method].moves_base:
            self._pieces = taken_out(network)
        if self._below is not None:
            self._pieces = below(network, self._below)

    def write(self, out: Path) -> Path:
        """Write what was trained: a whole model folder, or an adapter folder. Of several processes, one writes.

        Args:
            out: folder to make.
        Returns:
            `out`.
        """
        if self._team.sharded:
            self._write_gathered(out)
        elif self._team.main:
            self.write_here(out)
        self._team.wait()
        return out

    def _write_gathered(self, out: Path) -> None:
        """Put the parts of all processes together, and write them by way of a model that is whole."""
        trained = {
            name: whole(one).detach().cpu() for name, one in self.network.named_parameters() if one.requires_grad
        }
        if not self._team.main:
            return
        other = TrainedModel(self._name, self._train, self._lora, last_layers=self._last_layers)
        network = other.network
        with torch.no_grad():
            for name, one in network.named_parameters():
                if name in trained:
                    one.copy_(trained[name])
        other.write_here(out)

    def write_here(self, out: Path) -> Path:
        """Write in this process, whatever the others do; for weights that are whole."""
        network = self.network
        self.loaded.llava.eval()
        for name, one in network.named_parameters():
            if name in self._types:
                one.data = one.data.to(self._types[name])
        name = made_name(self.loaded.contract.name, out)
        if self._lora is not None or self._adapter is not None:
            wrapped = cast("PeftModel", network)
            with joined(wrapped, self._pieces):
                return save_adapter(wrapped, self.loaded, out, name=name)
        return save_model(self.loaded, out, name=name)


def keep_differentiable(llava: nn.Module) -> None:
    """Keep 4-bit linears in the form that gradients go through.

    On a CPU, bitsandbytes packs a linear anew when it is first run without gradients, such as for a reference or a
    drawn answer. That form is faster, and no gradient comes through it any more.

    Args:
        llava: a model that will be trained; others are left as they are.
    """
    for module in llava.modules():
        if hasattr(module, _PACKS):
            setattr(module, _PACKS, False)


def held_in(lora: LoraSettings | None) -> Literal["nf4", "int8", "none"]:
    """Return how a model is loaded for training: what is not asked for is none at all.

    The contract's own quantization is for answering, and a model held in it could not be saved.
    """
    return (lora and lora.quantization) or "none"


def _has_connector(folder: Path) -> bool:
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return bool(settings.get("modules_to_save"))


def _freeze_connector(network: nn.Module) -> None:
    for name, one in network.named_parameters():
        if "modules_to_save" in name:
            one.requires_grad_(False)


def set_trainable(
    llava: Any,
    train: Collection[str],
    lora: LoraSettings | None,
    adapter: Path | None = None,
    last_layers: int | None = None,
) -> nn.Module:
    """Switch on what is trained; all else, the image tower always, stays frozen.

    Args:
        llava: a frozen `LlavaForConditionalGeneration`.
        train: any of `train_parts.PARTS`.
        lora: the language model changes by an adapter only.
        adapter: folder of the adapter to go on with.
        last_layers: of the language model, counted from the output, with the norm behind them; None for all of it.
    Returns:
        The module that holds what is trained: `llava`, or PEFT's wrapper around it.
    Raises:
        ConfigError: an adapter is gone on with, and something is asked for that it does not hold.
    """
    llava.train()
    llava.model.vision_tower.eval()
    if adapter is not None:
        if "head" in train or last_layers is not None:
            what = "train has head" if "head" in train else f"last_layers is {last_layers}"
            raise ConfigError(
                f"{what}, but {adapter} is an adapter, which alone is trained on. Take it out, or merge the adapter "
                "first: python -m training.merge."
            )
        return continue_adapter(llava, adapter, lora, connector="connector" in train)
    if "connector" in train:
        llava.model.multi_modal_projector.requires_grad_(True)
    if lora is not None:
        return add_lora(llava, lora, connector="connector" in train)
    language_model = llava.model.language_model
    if "language_model" in train and last_layers is None:
        language_model.requires_grad_(True)
        llava.lm_head.requires_grad_(True)
    elif "language_model" in train:
        for layer in [*language_model.layers[-cast("int", last_layers) :], language_model.norm]:
            layer.requires_grad_(True)
    if "head" in train:
        llava.lm_head.requires_grad_(True)
    return cast("nn.Module", llava)
