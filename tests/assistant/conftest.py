"""A tiny random model, assembled and loaded like any other, for the tests of what answers with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from assistant.evidence import Evidence
from assistant.imaging.picture import Picture

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

_WORDS = (
    "Is there a glioma in this MRI? Yes. No. What kind of image is this? meningioma benign malignant normal. "
    "Technique: Findings: Impression: The right and left lung are clear. Write a report."
)


def _tokenizer(folder: Path, kind: str) -> Any:
    """A byte-level tokenizer for a language model, or a WordPiece-like one for a BERT."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"] if kind == "bert" else ["<pad>", "<s>", "</s>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([_WORDS] * 3, trainer)
    if kind == "bert":
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    else:
        names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 32-pixel pictures of 16 patches, two layers everywhere, random weights."""
    from assistant.model.build import assemble_folder
    from assistant.model.openclip import make_openclip_folder

    root = tmp_path_factory.mktemp("tiny")
    encoder = make_openclip_folder(
        root / "encoder",
        timm_name="vit_tiny_patch16_224",
        image_size=32,
        embed_dim=24,
        trunk_args={"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        },
        tokenizer=_tokenizer(root / "bert", "bert"),
        context_length=64,
    )
    _tokenizer(root / "tokenizer", "llama")
    llm = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
    }
    return assemble_folder(
        encoder, llm, root / "tokenizer", root / "model", name="tiny", capabilities={"text_only": "quote"}
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> LoadedModel:
    """The tiny model, loaded."""
    from assistant.model.load import load_model

    return load_model(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., Picture]:
    """Return a function that makes a noise picture from a seed; equal seeds give equal pixels."""

    def make(seed: int = 0, width: int = 40, height: int = 30, **fields: Any) -> Picture:
        pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
        return Picture(pixels, **fields)

    return make


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., Evidence]:
    """Return a function that makes a piece of evidence."""

    def make(title: str, text: str, **fields: Any) -> Evidence:
        values = {"id": title.lower(), "kind": "passage", "source": "a card", "licence": "CC0-1.0", "score": 1.0}
        return Evidence(**{**values, **fields, "title": title, "text": text})

    return make
