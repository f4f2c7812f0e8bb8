"""The blocks that dry runs of all stages are made of: prompts, tokens, weights, memory, licences."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import ModelError
from assistant.model.contract import Contract
from assistant.model.load import adapter_base, resolve
from assistant.model.presets import Preset, find_preset, preset_names
from assistant.model.processor import open_processor
from assistant.model.tiles import read_layers, view_count
from training.dataset import Tokens, Turned
from training.evaluation.table import markdown_table
from training.trainable import set_trainable
from training.tuning_settings import TuningSettings

BILLION = 1_000_000_000
BYTES = {"nf4": 0.57, "int8": 1.0}
"""Memory of one quantized weight. NF4: 4 bits and its scales (Dettmers et al. 2023, with double quantization)."""


@dataclass(frozen=True)
class Planned:
    """A model as a dry run knows it: its folder, or only the sizes of its preset."""

    name: str
    licence: str
    model: Any
    """A Llava without weights, in which what trains is switched on."""
    tokens: Tokens | None
    """None while the tokenizer is not there."""
    eos_ids: tuple[int, ...]
    note: str
    """What could not be checked, empty if nothing."""

    @property
    def text(self) -> Any:
        """The language model's configuration."""
        return self.model.config.get_text_config()

    @property
    def context(self) -> int:
        """Most tokens that the language model reads."""
        return int(self.text.max_position_embeddings)


def plan(settings: TuningSettings) -> Planned:
    """Open what is there of a run's model, without its weights.

    Args:
        settings: of the run.
    Returns:
        The model; of its preset's sizes where the folder is not there yet.
    Raises:
        ModelError: the folder is not whole, or it is not there and no preset says what it will be.
    """
    try:
        folder = resolve(settings.model)
    except ModelError as error:
        preset = find_preset(settings.preset or Path(settings.model).name)
        if preset is None:
            raise ModelError(
                f"{error} To plan before the model is made, name what it is made from: --set preset=NAME, one of "
                f"{', '.join(preset_names())}."
            ) from error
        return _from_preset(settings, preset)
    contract, processor = Contract.read(folder), open_processor(folder)
    tokens = Tokens(processor.tokenizer, contract.image_tokens)
    base = adapter_base(folder)
    model = _meta(settings, lambda: _configuration(base or folder), folder if base is not None else None)
    return Planned(contract.name, contract.licence, model, tokens, contract.eos_token_ids, "")


def _configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)


def preset_configuration(preset: Preset) -> Any:
    """Return the Llava configuration that a preset will have; its encoder is BiomedCLIP's ViT-B/16 at 224 pixels."""
    from transformers import AutoConfig, LlavaConfig, ViTConfig

    shape = dict(preset.shape)
    return LlavaConfig(
        vision_config=ViTConfig(image_size=224, patch_size=16, layer_norm_eps=1e-6),
        text_config=AutoConfig.for_model(shape.pop("model_type"), **shape),
        vision_feature_layer=-1,
        image_seq_length=196,
        tie_word_embeddings=False,
    )


def _from_preset(settings: TuningSettings, preset: Preset) -> Planned:
    model = _meta(settings, lambda: preset_configuration(preset), None)
    note = (
        f"{settings.model} is not there yet: weights and memory are those of the preset {preset.name}, and prompts and "
        f"their lengths are not checked. {preset.how_to_make()}"
    )
    return Planned(preset.name, preset.licence, model, None, (), note)


def _meta(settings: TuningSettings, configuration: Any, adapter: Path | None) -> Any:
    """Build the model without its weights, set up to train what the recipe says."""
    import torch
    from transformers import LlavaForConditionalGeneration

    with torch.device("meta"):
        llava = LlavaForConditionalGeneration(configuration())
        network: Any = set_trainable(
            llava.requires_grad_(False), settings.train, settings.lora, adapter, settings.last_layers
        )
    return network if network is llava else network.base_model.model


def shown_prompt(one: Turned, tokens: Tokens) -> str:
    """Return a prompt as the model reads it, each picture's tokens as one with their number."""
    text = str(tokens.tokenizer.decode(_collapsed(one.prompt, tokens.image_id)))
    return text.replace("<image>", f"<image>x{tokens.image_tokens}")


def prompt_block(name: str, answers: Sequence[tuple[str, Turned]], tokens: Tokens) -> str:
    """Show a prompt as the model reads it, with what is learned between ⟦ and ⟧.

    Args:
        name: of the example.
        answers: to the same prompt, each with what it is called; one alone needs no name.
        tokens: of the model.
    Returns:
        Some lines.
    """
    head = f"One example ({name}); the loss is on what stands between ⟦ and ⟧:"
    prompt = shown_prompt(answers[0][1], tokens)
    shown = [f"⟦{tokens.tokenizer.decode(list(one.answer))}⟧" for _, one in answers]
    if len(answers) == 1:
        return f"{head}\n{prompt}{shown[0]}"
    return "\n".join([head, prompt, *(f"  {called}: {text}" for (called, _), text in zip(answers, shown, strict=True))])


def _collapsed(ids: Iterable[int], image_id: int) -> list[int]:
    kept: list[int] = []
    for one in ids:
        if one != image_id or not kept or kept[-1] != image_id:
            kept.append(one)
    return kept


def tokens_block(lengths: dict[str, list[int]], told: str) -> str:
    """Return a table of lengths in tokens, with a line below."""
    rows = []
    for name, found in lengths.items():
        cuts = statistics.quantiles(found, n=20, method="inclusive") if len(found) > 1 else found * 19
        rows.append([name, f"{statistics.median(found):.0f}", f"{cuts[18]:.0f}", str(max(found))])
    return f"{markdown_table(['tokens', 'median', '95 %', 'most'], rows)}\n{told}"


def _parameters(model: Any) -> Iterable[tuple[str, Any]]:
    """Return names and weights; PEFT keeps a second copy of a module that is trained whole, which counts once."""
    return ((name, one) for name, one in model.named_parameters() if "original_module" not in name)


def _part_of(name: str) -> str:
    if "vision_tower" in name:
        return "image tower"
    return "connector" if "multi_modal_projector" in name else "language model"


def weights_block(model: Any) -> str:
    """Return a table of how many weights there are, and train, by part."""
    every: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for name, one in _parameters(model):
        every[_part_of(name)] += one.numel()
        trained[_part_of(name)] += one.numel() if one.requires_grad else 0
    rows = [[part, f"{every[part]:,}", f"{trained[part]:,}"] for part in ("image tower", "connector", "language model")]
    rows.append(["all", f"{sum(every.values()):,}", f"{sum(trained.values()):,}"])
    return markdown_table(["weights of", "all", "trained"], rows)


def memory_block(planned: Planned, settings: TuningSettings, sequences: int, length: int, *, average: bool) -> str:
    """Estimate the memory of a step.

    Args:
        planned: the model.
        settings: of the run.
        sequences: that go through the model at a time.
        length: of each, in tokens.
        average: a second copy of what trains is kept.
    Returns:
        One line.
    Source: activations are 34 bytes a token, layer and channel (Korthikanti et al. 2022), without the matrices of
    attention, which current kernels do not keep.
    """
    quantized = settings.lora.quantization if settings.lora else None
    big = sum(one.numel() for _, one in _parameters(planned.model)) >= BILLION
    frozen = trained = 0.0
    for name, one in _parameters(planned.model):
        if one.requires_grad:
            trained += one.numel()
            continue
        inner = _part_of(name) == "language model" and one.ndim == 2 and "embed" not in name and "lm_head" not in name
        frozen += one.numel() * (BYTES[quantized] if quantized and inner else 2 if big else 4)
    update = 4 + (4 if settings.optimizer.name == "muon" else 8) + (4 if average else 0)
    text = planned.text
    layer = sequences * length * text.hidden_size * (2 if settings.bf16 is False else 1)
    depth = text.num_hidden_layers
    kept = layer * (2 * depth + 34) if settings.checkpoint else layer * 34 * depth
    kept += sequences * length**2 * (4 if settings.bf16 is False else 2)  # the mask
    kept = max(kept, _encoding(planned.model.config, sequences) * (4 if settings.bf16 is False else 2))
    gib = [number / 2**30 for number in (frozen + 4 * trained, update * trained, kept)]
    return (
        f"Memory, about: weights {gib[0]:.2f} GiB, gradients and optimizer {gib[1]:.2f} GiB, activations at the "
        f"longest sequences {gib[2]:.2f} GiB; {sum(gib):.2f} GiB in all."
    )


def _encoding(config: Any, pictures: int) -> float:
    """Count the numbers held while the frozen image tower reads pictures: every layer's states, and what is in one.

    It is done before the language model begins, so the larger of the two counts.
    """
    vision = config.vision_config
    views = view_count(read_layers(config.vision_feature_layer)[1])
    places = (vision.image_size // vision.patch_size) ** 2 + 1
    return float(pictures * views * places * vision.hidden_size * (vision.num_hidden_layers + 1 + 17))


def licences_block(planned: Planned, data: Collection[tuple[str, str]]) -> str:
    """Return the licence of the model and of each source."""
    lines = [f"- model {planned.name}: {planned.licence}", *(f"- {name}: {one}" for name, one in sorted(set(data)))]
    return "Licences\n" + "\n".join(lines)


def joined(blocks: Iterable[str]) -> str:
    """Put blocks together, with an empty line between."""
    return "\n\n".join(block.rstrip() for block in blocks if block)
