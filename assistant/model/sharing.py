"""`Bases`: opens several models, and lets adapters on one base use the base's own weights.

Each adapter gets a tree of modules of its own, in which every weight is the base's very tensor. Nothing is switched
over between two answers, so adapters on one base can answer side by side, and each computes what it would compute
alone. An adapter that would change weights of its base, or that brings an encoder of its own, is opened whole.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from assistant.errors import ModelError
from assistant.model.folder import read_json
from assistant.model.load import adapter_base, load_model, resolve
from assistant.model.loaded import LoadedModel

_BESIDE = frozenset({"ADALORA", "BOFT", "FOURIERFT", "HRA", "IA3", "LOHA", "LOKR", "LORA", "OFT", "RANDLORA", "VERA"})
"""PEFT's methods whose update lies beside the base's weight."""
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "loftq", None)
"""Beginnings of LoRA that leave the base's weight as it is; `pissa`, `olora`, `corda` and `eva` take a part out."""


class Bases:
    """Opens models for one process; a base is kept as long as it, or an adapter on it, is in use."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[Any, ...], LoadedModel] = WeakValueDictionary()
        self._lock = Lock()

    def load(self, name: str | Path, **options: Any) -> LoadedModel:
        """Open a model, as `load_model` does, with the weights of a base that is open already.

        Args:
            name: "starter", a model folder or an adapter folder.
            **options: of `load_model`.
        Returns:
            the model; an adapter's `base` is the model whose weights it uses.
        Raises:
            ModelError: as `load_model`, or an adapter changed the weights of its base.
        """
        folder = resolve(name)
        with self._lock:
            base_folder = adapter_base(folder)
            if base_folder is None:
                return self._whole(folder, options)
            if not can_share(folder) or options.get("dtype") == "float16":  # cast only after its contract is checked
                return load_model(folder, **options)
            base = self._whole(base_folder, options)
            before = _versions(base)
            made = load_model(folder, base=base, **options)
            if _versions(base) != before:
                self._held.clear()
                raise ModelError(
                    f"The adapter in {folder} changes weights of its base. Merge it into a model of its own: "
                    "python -m training.merge"
                )
            return made

    def _whole(self, folder: Path, options: dict[str, Any]) -> LoadedModel:
        key = (folder.resolve(), *sorted(options.items()))
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = load_model(folder, **options)
        return held


def can_share(folder: Path) -> bool:
    """Tell whether an adapter leaves its base as it is, and brings no encoder of its own.

    Args:
        folder: of the adapter.
    Returns:
        False too where it is not known.
    """
    settings = read_json(folder / "adapter_config.json")
    return (
        str(settings.get("peft_type", "")).upper() in _BESIDE
        and settings.get("bias", "none") == "none"
        and settings.get("init_lora_weights", True) in _PLAIN_STARTS
        and not (folder / "projection.safetensors").is_file()
    )


def _versions(model: LoadedModel) -> list[tuple[int, int]]:
    """Return what changes when a weight is written to, or put elsewhere."""
    return [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in model.llava.parameters()]
