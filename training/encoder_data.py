"""The pictures, categories and captions that the encoder learns from: real ones from data files, and phantoms."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assistant.errors import ConfigError, DataError
from data_recipes.phantom import make_phantom
from data_recipes.phantom_findings import MASK_CLASSES
from data_recipes.phantom_text import phantom_caption
from data_recipes.schema import read_examples
from training.attributes import AttributeTable, build_table, flat_attributes
from training.contrast_settings import PhantomSettings
from training.pictures import build_store
from training.run_folder import write_json

logger = logging.getLogger(__name__)

LEAST_PHANTOM = 64
"""Pixels a side below which `make_phantom` draws nothing."""


@dataclass(frozen=True)
class EncoderData:
    """N pictures with what is known of them; real ones first, phantoms after."""

    pixels: Sequence[Any]
    """Two arrays: real pictures, uint8 (N_real, 3, S, S), and phantoms, uint8 (N_phantom, 3, Z, Z)."""
    table: AttributeTable
    captions: tuple[str, ...]
    """One caption a picture; the same words mean the same content."""
    mirror: Tensor
    """bool (N,): may be mirrored, because no side is asked about."""
    turn: Tensor
    """bool (N,): has no up or down."""
    patch_classes: Tensor
    """int64 (N_phantom, G, G): class of each patch of a phantom, 0 for background."""
    weights: Tensor
    """(N_real,) chance of being drawn: rarer categories more often."""

    @property
    def real(self) -> int:
        """Number of real pictures."""
        return len(self.pixels[0])

    def real_batch(self, index: Tensor) -> Tensor:
        """Return real pictures by number: uint8 (B, 3, S, S)."""
        return torch.from_numpy(np.stack([self.pixels[0][i] for i in index.tolist()]))

    def phantom_batch(self, index: Tensor) -> Tensor:
        """Return phantoms by their number over all pictures: uint8 (B, 3, Z, Z)."""
        return torch.from_numpy(self.pixels[1][(index - self.real).numpy()])


def caption_from(attributes: dict[str, str]) -> str:
    """Put attributes into words: "MRI of the brain, brain finding: glioma"."""
    place = f"{attributes.get('modality', 'image')} of the {attributes.get('region', 'body')}"
    rest = [f"{name}: {value}" for name, value in sorted(attributes.items()) if name not in ("modality", "region")]
    return ", ".join([place, *rest])


def gather_real(files: Sequence[Path]) -> tuple[list[Path], list[dict[str, str]]]:
    """Return each picture of the data files once, with all that its examples know of it.

    Args:
        files: JSONL files of examples; of an example with several pictures the first counts.
    Returns:
        Paths, and as many mappings from attribute to category.
    Raises:
        DataError: the files name no pictures.
    """
    known: dict[Path, dict[str, str]] = {}
    for file in files:
        for example in read_examples(file):
            for path in example.image_paths(file.parent)[:1]:
                known.setdefault(path, {}).update(flat_attributes(example.truth or {}))
    if not known:
        raise DataError(f"{', '.join(map(str, files))} name no pictures; build them with python -m data_recipes.build.")
    return list(known), list(known.values())


def draw_phantoms(
    settings: PhantomSettings, side: int, cache: Path
) -> tuple[Any, Any, list[dict[str, Any]], list[str]]:
    """Draw the phantoms, or open them if they were drawn before.

    Args:
        settings: how many, and which.
        side: pixels a side.
        cache: folder to keep them in.
    Returns:
        pixels uint8 (N, 3, side, side), masks uint8 (N, side, side), truths, captions.
    Raises:
        ConfigError: the pictures are too small to draw.
    """
    if settings.count and side < LEAST_PHANTOM:
        raise ConfigError(
            f"phantoms are drawn at the encoder's size, {side} pixels, and take {LEAST_PHANTOM} at least. "
            "Raise shape.image_size, or set phantoms.count to 0."
        )
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(f"{settings.count}|{settings.seed}|{side}|{MASK_CLASSES}".encode()).hexdigest()[:16]
    arrays, words = cache / f"phantoms-{key}.npz", cache / f"phantoms-{key}.json"
    if not words.exists():
        drawn = [make_phantom(settings.seed, number, size=side) for number in range(settings.count)]
        pixels, masks = np.zeros((len(drawn), 3, side, side), np.uint8), np.zeros((len(drawn), side, side), np.uint8)
        for number, one in enumerate(drawn):
            pixels[number], masks[number] = one.pixels.transpose(2, 0, 1), one.mask
        np.savez(arrays, pixels=pixels, masks=masks)
        write_json(words, {"truths": [one.truth for one in drawn], "captions": [phantom_caption(one) for one in drawn]})
    stored, told = np.load(arrays), json.loads(words.read_text(encoding="utf-8"))
    return stored["pixels"], stored["masks"], told["truths"], told["captions"]


def patch_classes(masks: np.ndarray, grid: int, *, least: float = 0.08) -> Tensor:
    """Return the class of each patch: the largest finding that covers at least a share `least` of it, else 0.

    Args:
        masks: uint8 (N, S, S), class of each pixel; S is a multiple of `grid`.
        grid: patches a side.
        least: share of a patch below which a finding does not count.
    Returns:
        int64 (N, grid, grid).
    """
    count, side, _ = masks.shape
    step = side // grid
    blocks = torch.from_numpy(np.ascontiguousarray(masks)).view(count, grid, step, grid, step)
    best = torch.zeros(count, grid, grid)
    result = torch.zeros(count, grid, grid, dtype=torch.long)
    for number in range(1, len(MASK_CLASSES)):
        share = (blocks == number).float().mean(dim=(2, 4))
        better = (share > best) & (share >= least)
        result[better] = number
        best = torch.where(better, share, best)
    return result


def load_encoder_data(
    files: Sequence[Path],
    phantoms: PhantomSettings,
    *,
    side: int,
    image_size: int,
    grid: int,
    cache: Path,
    mirror: Sequence[str],
    turn: Sequence[str],
) -> EncoderData:
    """Bring everything together.

    Args:
        files: JSONL data files.
        phantoms: how many drawn pictures to add.
        side: pixels a side at which real pictures are stored, a little more than `image_size`.
        image_size: pixels a side of phantoms and of the model's input.
        grid: patches a side.
        cache: folder for decoded pictures.
        mirror: regions whose pictures may be mirrored.
        turn: regions whose pictures may be turned.
    Returns:
        Pictures, categories, captions and patch classes.
    """
    paths, known = gather_real(files)
    pixels = build_store(paths, side, cache)
    drawn, masks, truths, drawn_captions = draw_phantoms(phantoms, image_size, cache)
    everything = known + [flat_attributes(truth) for truth in truths]
    table = build_table(everything)
    regions = [one.get("region", "") for one in known]
    sided = [any(word in name for name in one for word in ("side", "eye")) for one in known]
    still = torch.zeros(len(drawn), dtype=torch.bool)
    may_mirror = torch.tensor([r in mirror and not s for r, s in zip(regions, sided, strict=True)], dtype=torch.bool)
    may_turn = torch.tensor([r in turn for r in regions], dtype=torch.bool)
    captions = tuple(caption_from(one) for one in known)
    logger.info("%d real pictures, %d phantoms, attributes: %s", len(paths), len(drawn), ", ".join(table.names))
    return EncoderData(
        pixels=(pixels, drawn),
        table=table,
        captions=captions + tuple(drawn_captions),
        mirror=torch.cat([may_mirror, still]),
        turn=torch.cat([may_turn, still]),
        patch_classes=patch_classes(masks, grid),
        weights=rarity(captions),
    )


def rarity(captions: Sequence[str]) -> Tensor:
    """Return how often each picture should be drawn: 1 / sqrt(pictures of the same caption), mean 1."""
    counts: dict[str, int] = {}
    for one in captions:
        counts[one] = counts.get(one, 0) + 1
    weights = torch.tensor([counts[one] ** -0.5 for one in captions])
    return weights / weights.mean()
