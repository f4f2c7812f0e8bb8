"""What a dry run of `assemble` tells: how large the parts are, where they are, and how what is missing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assistant.model.load import resolve
from assistant.model.presets import find_preset, preset_names
from training.evaluation.table import markdown_table

if TYPE_CHECKING:
    from training.assemble_settings import AssembleSettings


def preview(settings: AssembleSettings) -> str:
    """Say what is put together.

    Args:
        settings: of the run.
    Returns:
        A table of the parts, with the commands that fetch those that are not here.
    Raises:
        ModelError: there is no such model to give the encoder to.
    """
    rows = [["encoder", settings.encoder, "", _place(settings.encoder)]]
    missing = [settings.encoder] if not _is_here(settings.encoder) else []
    if settings.model is not None:
        rows.append(["model", settings.model, "", _place(str(resolve(settings.model)))])
    if settings.llm is not None:
        count = _size(settings)
        told = f"{count:,} weights, {count * 2 / 1e9:.1f} GB in 16 bits" if count else "unknown"
        rows.append(["language model", settings.llm, told, _place(settings.llm)])
        missing += [settings.llm] if not _is_here(settings.llm) else []
    lines = [markdown_table(["part", "name", "size", "where"], rows)]
    if missing:
        lines.append("To be fetched, where there is a network:")
        lines += [f"  hf download {name}" for name in missing]
        lines.append("Some models ask for an account and the acceptance of a licence first: hf auth login.")
    if settings.model is None:
        lines.append(f"Licence of the language model: {settings.licence}")
    return "\n".join(lines)


def _size(settings: AssembleSettings) -> int:
    """Count the language model's weights by the sizes of its preset; 0 if there is none."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    found = [preset for name in preset_names() if (preset := find_preset(name)) and preset.llm == settings.llm]
    shape = dict(settings.shape or (found[0].shape if found else {}))
    if not shape:
        return 0
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(shape.pop("model_type"), **shape))
    return sum(one.numel() for one in model.parameters())


def _is_here(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(name).is_dir():
        return True
    try:
        return any(
            isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", "open_clip_config.json")
        )
    except HFValidationError:
        return False


def _place(name: str) -> str:
    if Path(name).is_dir():
        return "a folder here"
    return "downloaded" if _is_here(name) else "not downloaded yet"
