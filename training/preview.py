"""What a dry run of `align` or `sft` tells: the data, one prompt, the tokens, what trains, memory, steps, licences."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import ModelError
from assistant.model.contract import Contract
from assistant.model.load import adapter_base, resolve
from assistant.model.processor import open_processor
from data_recipes.schema import Example, read_examples
from training.checks import check_ends, check_lengths, check_patients, check_pictures
from training.dataset import PictureGroup, Tokens, Turned, group_by_pictures, picture_weights
from training.evaluation.table import markdown_table
from training.settings import LlavaSettings
from training.trainable import set_trainable

BYTES = {"nf4": 0.57, "int8": 1.0, "none": 4.0, "bfloat16": 2.0, "float16": 2.0}
"""Memory of one weight. NF4: 4 bits and its scales (Dettmers et al. 2023, with double quantization)."""


@dataclass(frozen=True)
class Part:
    """One data file, read."""

    path: Path
    weight: float
    examples: list[Example]
    groups: list[PictureGroup]


def preview(settings: LlavaSettings) -> str:
    """Check all that a run needs and say what it would do.

    Args:
        settings: of the run.
    Returns:
        Several lines.
    Raises:
        DataError: images are missing, patients stand on both sides of a split, an example is too long, or an answer
            has no end; a data file is missing or holds nothing.
        ModelError: the model folder is not whole.
    """
    try:
        folder = resolve(settings.model)
    except ModelError as error:
        # A chain is planned before its first stage has run.
        return f"Prompts, tokens and weights are not checked, as the model is not there yet. {error}"
    contract, processor = Contract.read(folder), open_processor(folder)
    tokens = Tokens(processor.tokenizer, contract.image_tokens)
    parts = [_read(part.path, part.weight, part.balance, tokens) for part in settings.data]
    groups = [group for part in parts for group in part.groups]
    check_pictures(sorted({path for group in groups for path in group.images}))
    check_patients([part.path for part in parts], settings.held_out)
    model = _meta_model(folder, settings)
    text = model.config.get_text_config()
    check_lengths(groups, settings.longest, int(text.max_position_embeddings))
    check_ends(groups, contract.eos_token_ids)
    blocks = [
        _data_table(parts, settings),
        _prompt(next(one for group in groups for one in group.questions), tokens),
        _tokens(groups, settings),
        _weights(model),
        _memory(model, text, settings),
        _licences(parts, contract),
    ]
    return "\n\n".join(block.rstrip() for block in blocks)


def _read(path: Path, weight: float, balance: str | None, tokens: Tokens) -> Part:
    examples = list(read_examples(path))
    groups = group_by_pictures(((path.parent, one) for one in examples), tokens)
    picture_weights(groups, balance)  # for its errors
    return Part(path, weight, examples, groups)


def _data_table(parts: Sequence[Part], settings: LlavaSettings) -> str:
    draws, total = settings.steps * settings.pictures, sum(part.weight for part in parts)
    rows = []
    for part in parts:
        share = part.weight / total
        kinds = Counter(one.task for one in part.examples)
        seen = draws * share / max(1, len(part.groups))
        told = ", ".join(f"{number} {task}" for task, number in kinds.most_common())
        sources = ", ".join(sorted({one.source for one in part.examples}))
        rows.append([part.path.name, sources, told, str(len(part.groups)), f"{share:.1%}", f"{seen:.1f}"])
    header = ["file", "source", "examples", "pictures", "share of the draws", "times each is drawn"]
    steps = f"{settings.steps} steps of {settings.pictures} pictures, up to {settings.questions} questions each"
    return f"{steps}\n\n{markdown_table(header, rows)}"


def _prompt(one: Turned, tokens: Tokens) -> str:
    """Show a prompt as the model reads it, with what is learned between ⟦ and ⟧."""
    image = f"<image>x{tokens.image_tokens}"
    prompt = str(tokens.tokenizer.decode(_collapsed(one.prompt, tokens.image_id)))
    answer = str(tokens.tokenizer.decode(list(one.answer)))
    return f"One example ({one.name}); the loss is on what stands between ⟦ and ⟧:\n{prompt}⟦{answer}⟧".replace(
        "<image>", image
    )


def _collapsed(ids: Iterable[int], image_id: int) -> list[int]:
    kept: list[int] = []
    for one in ids:
        if one != image_id or not kept or kept[-1] != image_id:
            kept.append(one)
    return kept


def _tokens(groups: Sequence[PictureGroup], settings: LlavaSettings) -> str:
    def row(name: str, lengths: list[int]) -> list[str]:
        cuts = statistics.quantiles(lengths, n=20, method="inclusive") if len(lengths) > 1 else lengths * 19
        return [name, f"{statistics.median(lengths):.0f}", f"{cuts[18]:.0f}", str(max(lengths))]

    asked = [one for group in groups for one in group.questions]
    rows = [
        row("prompt", [len(one.prompt) for one in asked]),
        row("answer", [len(one.answer) for one in asked]),
        row("both", [len(one.prompt) + len(one.answer) for one in asked]),
    ]
    table = markdown_table(["tokens", "median", "95 %", "most"], rows)
    return f"{table}\nA sequence holds {settings.longest} tokens at most (`longest`); nothing is cut."


def _meta_model(folder: Path, settings: LlavaSettings) -> Any:
    """Build the model without its weights, set up to train what the recipe says."""
    import torch
    from transformers import AutoConfig, LlavaForConditionalGeneration

    base = adapter_base(folder)
    with torch.device("meta"):
        llava = LlavaForConditionalGeneration(AutoConfig.from_pretrained(base or folder))
        adapter = folder if base is not None else None
        network: Any = set_trainable(llava.requires_grad_(False), settings.train, settings.lora, adapter)
    return network if network is llava else network.base_model.model


def _parameters(model: Any) -> Iterable[tuple[str, Any]]:
    """Return names and weights; PEFT keeps a second copy of a module that is trained whole, which counts once."""
    return ((name, one) for name, one in model.named_parameters() if "original_module" not in name)


def _part_of(name: str) -> str:
    if "vision_tower" in name:
        return "image tower"
    return "connector" if "multi_modal_projector" in name else "language model"


def _weights(model: Any) -> str:
    every: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for name, one in _parameters(model):
        every[_part_of(name)] += one.numel()
        trained[_part_of(name)] += one.numel() if one.requires_grad else 0
    rows = [[part, f"{every[part]:,}", f"{trained[part]:,}"] for part in ("image tower", "connector", "language model")]
    rows.append(["all", f"{sum(every.values()):,}", f"{sum(trained.values()):,}"])
    return markdown_table(["weights of", "all", "trained"], rows)


def _memory(model: Any, text: Any, settings: LlavaSettings) -> str:
    """Estimate memory. Activations: Korthikanti et al. 2022, 34 + 5 a s / h bytes a token, layer and channel."""
    quantized = (settings.lora and settings.lora.quantization) or "none"
    frozen = trained = 0.0
    for name, one in _parameters(model):
        if one.requires_grad:
            trained += one.numel()
        else:
            frozen += one.numel() * BYTES[quantized if _part_of(name) == "language model" else "none"]
    update = 4 + (4 if settings.optimizer.name == "muon" else 8) + (4 if settings.average else 0)
    length, width, heads = settings.longest, text.hidden_size, text.num_attention_heads
    together = -(-settings.pictures // settings.accumulate)
    kept = together * length * width * (34 + 5 * heads * length / width) * text.num_hidden_layers
    kept *= 1 if settings.bf16 else 2
    gib = [number / 2**30 for number in (frozen + 4 * trained, update * trained, kept)]
    return (
        f"Memory, about: weights {gib[0]:.2f} GiB, gradients and optimizer {gib[1]:.2f} GiB, activations at the "
        f"longest sequences {gib[2]:.2f} GiB; {sum(gib):.2f} GiB in all."
    )


def _licences(parts: Sequence[Part], contract: Contract) -> str:
    data = sorted({(one.source, one.licence) for part in parts for one in part.examples})
    lines = [f"- model {contract.name}: {contract.licence}", *(f"- {source}: {licence}" for source, licence in data)]
    return "Licences\n" + "\n".join(lines)
