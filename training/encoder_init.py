"""Makes a new encoder, or opens one to go on from, as open_clip sees it; with a start that suits few pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assistant.errors import ConfigError
from assistant.model.biomedclip import CONFIG_NAME, read_encoder
from assistant.model.openclip import make_openclip_folder, open_openclip
from assistant.model.openclip_parts import model_encoder, write_openclip
from training.tokenizer import train_wordpiece

if TYPE_CHECKING:
    from training.contrast_settings import ContrastSettings


def make_encoder(
    settings: ContrastSettings, passages: Sequence[tuple[str, str]]
) -> tuple[Path, Any, Any, tuple[float, ...], tuple[float, ...]]:
    """Return the encoder's open_clip folder, model, tokenizer, and the channels' mean and standard deviation."""
    from transformers import AutoTokenizer

    folder = _start(settings)
    if settings.encoder is None and not (folder / CONFIG_NAME).exists():
        shape = settings.shape
        texts = [text for pair in passages for text in pair]
        if not texts:
            raise ConfigError("a new encoder needs `passages:` to make its vocabulary from.")
        make_openclip_folder(
            folder,
            timm_name="vit_tiny_patch16_224",
            image_size=shape.image_size,
            embed_dim=shape.embed_dim,
            text_config={
                "hidden_size": shape.text_width,
                "num_hidden_layers": shape.text_depth,
                "num_attention_heads": shape.text_heads,
                "intermediate_size": 4 * shape.text_width,
                "max_position_embeddings": 256,
            },
            tokenizer=train_wordpiece(texts, shape.vocabulary),
            seed=settings.seed,
            trunk_args={
                "patch_size": shape.patch_size,
                "embed_dim": shape.width,
                "depth": shape.depth,
                "num_heads": shape.heads,
            },
        )
    model = open_openclip(folder)
    if settings.encoder is None:
        init_transformer(model.visual.trunk)
    preprocess = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))["preprocess_cfg"]
    return folder, model, AutoTokenizer.from_pretrained(folder), tuple(preprocess["mean"]), tuple(preprocess["std"])


def _start(settings: ContrastSettings) -> Path:
    """Return the folder that a run begins with: the given one, written again where its form or size is another."""
    given, own = settings.encoder, settings.out / "start"
    if given is None:
        return own
    is_openclip = (given / CONFIG_NAME).exists()
    if is_openclip and settings.image_size is None:
        return given
    if not (own / CONFIG_NAME).exists():
        parts = read_encoder(given) if is_openclip else model_encoder(given)
        write_openclip(parts, own, image_size=settings.image_size)
    return own


def position_grid(grid: int, width: int) -> Tensor:
    """Return fixed two-dimensional sine positions, (grid * grid, width).

    Source: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, 2021.
    """
    quarter = width // 4
    omega = 1.0 / 10000 ** (torch.arange(quarter) / quarter)
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    waves = [table.flatten()[:, None] * omega for table in (columns, rows)]
    parts = [part for wave in waves for part in (wave.sin(), wave.cos())]
    return torch.cat(parts, dim=1)


@torch.no_grad()
def init_transformer(trunk: Any) -> None:
    """Start a timm ViT so that attention already looks at its own place, and values already undo a little.

    Source: Trockman and Kolter, Mimetic Initialization of Self-Attention Layers, 2023.
    """
    width, heads = int(trunk.embed_dim), int(trunk.blocks[0].attn.num_heads)
    trunk.pos_embed[0, 1:] = position_grid(int(trunk.patch_embed.grid_size[0]), width) * 0.5
    depth = width // heads
    for block in trunk.blocks:
        query, key, value = block.attn.qkv.weight.chunk(3)
        for head in range(heads):
            rows = slice(head * depth, (head + 1) * depth)
            wanted = 0.7 * torch.randn(width, width) / math.sqrt(width) + 0.7 * torch.eye(width)
            left, size, right = torch.linalg.svd(wanted)
            root = size[:depth].sqrt()
            query[rows], key[rows] = (left[:, :depth] * root).T, root[:, None] * right[:depth]
        wanted = 0.4 * torch.randn(width, width) / math.sqrt(width) - 0.4 * torch.eye(width)
        left, size, right = torch.linalg.svd(wanted)
        root = size.sqrt()
        value.copy_(root[:, None] * right)
        block.attn.proj.weight.copy_(left * root)
