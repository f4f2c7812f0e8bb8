"""What the training measurements are made of: a model of a realistic shape with random weights, and small data.

The encoder is BiomedCLIP's ViT-B/16 at 224 pixels, the language model a Llama of 85 million weights in 12 layers with a
vocabulary of 32,000. Times do not depend on what weights hold, so random ones serve.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LLM = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 2048,
}
"""Sizes of the language model."""
PAIRS = 24
"""Pairs of answers: few, as the reference is asked for each before the first step."""
VOCABULARY = 32_000
"""Entries of its vocabulary."""
_SYLLABLES = [f"{first}{vowel}{last}" for first in "bdfgklmnprst" for vowel in "aeiou" for last in "lmnrstx"]


def make_model(
    out: Path,
    texts: Iterator[str],
    *,
    llm: Mapping[str, int] = LLM,
    encoder: Mapping[str, Any] | None = None,
    vocabulary: int = VOCABULARY,
    seed: int = 0,
    dtype: str = "auto",
) -> Path:
    """Write a model folder with random weights.

    Args:
        out: folder to make.
        texts: what the tokenizer is to cut well; made-up words fill the rest of the vocabulary.
        llm: sizes of the language model.
        encoder: arguments of `make_openclip_folder` in place of those of BiomedCLIP's tower.
        vocabulary: most entries of the vocabulary.
        seed: of the weights and the words.
        dtype: that the weights are saved in; "auto" is float32.
    Returns:
        The model folder, below `out`.
    """
    from assistant.model.build import assemble_folder
    from assistant.model.openclip import make_openclip_folder
    from training.tokenizer import train_bpe, train_wordpiece

    out.mkdir(parents=True, exist_ok=True)
    made = make_openclip_folder(
        out / "encoder",
        text_config={
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 128,
            "max_position_embeddings": 64,
        },
        tokenizer=train_wordpiece(["A lesion in the left lung."], 60),
        context_length=64,
        **(encoder or {}),
    )
    draw = random.Random(seed)
    made_up = (" ".join("".join(draw.choices(_SYLLABLES, k=4)) for _ in range(2000)) for _ in range(40))
    train_bpe(itertools.chain(texts, made_up), vocabulary).save_pretrained(out / "tokenizer")
    return assemble_folder(made, llm, out / "tokenizer", out / "model", name="measured", seed=seed, dtype=dtype)


def make_questions(out: Path, pictures: int = 24, seed: int = 0) -> Path:
    """Write phantoms with their questions and reports; returns the example file.

    Args:
        out: folder to make.
        pictures: how many.
        seed: of the drawing.
    Returns:
        JSONL file of examples.
    """
    from data_recipes.build import build_data

    build_data("phantom", None, out, limit=pictures * 10 // 8, seed=seed)
    return out / "train.jsonl"


def make_pairs(out: Path, examples: Path, seed: int = 0) -> Path:
    """Write pairs of a true and a spoilt report of the same pictures; returns the file of preferences.

    Args:
        out: folder to make.
        examples: what `make_questions` wrote.
        seed: of what is made wrong.
    Returns:
        JSONL file of preferences.
    """
    from data_recipes.build import build_data

    build_data("preferences", examples, out, seed=seed, limit=PAIRS)
    return out / "preferences.jsonl"


def texts_of(examples: Path) -> Iterator[str]:
    """Yield what is said in an example file."""
    from data_recipes.schema import read_examples

    for one in read_examples(examples):
        yield from (message["content"] for message in one.messages)
