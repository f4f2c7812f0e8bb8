"""Presets: named pairs of encoder and language model, kept as YAML beside this module."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from assistant.errors import ModelError

_FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class Preset:
    """One pair, and what to know before choosing it."""

    name: str
    encoder: str
    """Hub id or folder of the open_clip encoder."""
    llm: str
    """Hub id or folder of the causal language model."""
    connector: str
    """"linear" or "mlp2x_gelu"."""
    quantization: str | None
    """How the language model is loaded on a GPU by default."""
    licence: str
    """Of the language model's weights; the encoder's is MIT."""
    gpu_memory_gb: float
    """About what answering needs with that quantization; an estimate from the parameter count."""
    note: str
    shape: dict[str, Any]
    """The language model's configuration as far as its size goes; a dry run counts with it."""

    def how_to_make(self) -> str:
        """Say how to turn the preset into a model folder."""
        return (
            f"{self.name!r} is a preset, not a model folder: its connector has to be trained first. "
            f"Make the folder: python -m training.assemble {_FOLDER / (self.name + '.yaml')} "
            f"--set out=models/{self.name}; train it: python -m training.align; then load models/{self.name}. "
            f"{self.note}"
        )


def preset_names() -> list[str]:
    """Return the presets' names, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_preset(name: str) -> Preset | None:
    """Read a preset.

    Args:
        name: file name without ".yaml".
    Returns:
        the preset, or None if there is none of that name.
    Raises:
        ModelError: its file does not have exactly the fields of `Preset`.
    """
    import yaml

    path = _FOLDER / f"{name}.yaml"
    if name not in preset_names():
        return None
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = {item.name for item in fields(Preset)} - {"name"}
    if set(data) != wanted:
        raise ModelError(f"{path} has fields {sorted(data)}; a preset has {sorted(wanted)}. Restore the file.")
    return Preset(name=name, **data)
