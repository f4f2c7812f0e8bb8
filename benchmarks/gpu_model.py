"""What the rows on a GPU are measured with: a random model of 8 thousand million weights, in a folder of its own.

It is made once a process, as a user would make it, and opened by the product's own loader, in bfloat16 or in NF4. With
quick sizes it is a tiny one, with which the rows run anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.suite import SETTINGS
from benchmarks.training_parts import make_model, make_questions, texts_of

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture
    from assistant.model.load import Quantization
    from assistant.model.loaded import LoadedModel

LARGE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
}
"""Layers of Llama-3-8B; four more of them stand for its larger vocabulary: 8.1 thousand million weights."""
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
_TINY_TOWER = {"trunk_args": {"depth": 2, "embed_dim": 64, "num_heads": 2}}
_held: list[tempfile.TemporaryDirectory[str]] = []


@cache
def folders() -> tuple[Path, Path]:
    """Return a model folder and a file of questions about phantoms; both stay while the process lives."""
    root = tempfile.TemporaryDirectory()
    _held.append(root)
    quick = SETTINGS.quick
    examples = make_questions(Path(root.name) / "questions", pictures=8 if quick else 64)
    model = make_model(
        Path(root.name) / "made",
        texts_of(examples),
        llm=TINY if quick else LARGE,
        encoder=_TINY_TOWER if quick else None,
        vocabulary=400 if quick else 32_000,
        dtype="bfloat16",
    )
    return model, examples


def opened(device: str, quantization: Quantization | None = None) -> LoadedModel:
    """Open the model in bfloat16, or with the language model's linears in fewer bits.

    Args:
        device: where to.
        quantization: "nf4", or None.
    Returns:
        The model, whose end token is never the likeliest, so that answers are as long as they may be.
    """
    from assistant.model.load import load_model

    model = load_model(folders()[0], device=device, dtype="bfloat16", quantization=quantization or "none")
    llava: Any = model.llava
    with torch.no_grad():
        for end in model.contract.eos_token_ids:
            llava.lm_head.weight[end] = 0
    llava.generation_config.eos_token_id = None
    llava.generation_config.pad_token_id = model.contract.pad_token_id
    return model


def weight_bytes(model: LoadedModel) -> int:
    """Return the bytes that one step of the language model reads: its weights and the head's, as they are held."""
    llava: Any = model.llava
    read = [*llava.model.language_model.layers.parameters(), *llava.lm_head.parameters()]
    return sum(one.nbytes for one in read)


def shown(count: int) -> Sequence[Picture]:
    """Return so many pictures, each another."""
    from benchmarks.engine_scale import new_pictures

    return new_pictures(count)


def read_rate(device: str) -> float:
    """Return the bytes a second that the device reads, the best of five sums over a large block."""
    from time import perf_counter

    size = 1 << (22 if SETTINGS.quick or device == "cpu" else 30)
    block, best = torch.ones(size, device=device), float("inf")
    for _ in range(6):
        started = perf_counter()
        float(block.sum())  # its value is waited for
        best = min(best, perf_counter() - started)
    return block.nbytes / best


def wait(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_gigabytes(device: str) -> float:
    """Return the most memory of the device that was in use since `forget_peak`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.startswith("cuda") else 0.0


def forget_peak(device: str) -> None:
    """Begin to look for the peak anew."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
