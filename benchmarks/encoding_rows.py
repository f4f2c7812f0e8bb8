"""BiomedCLIP's image and text towers against open_clip, on weights of its shape and size made at random."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.suite import SETTINGS, Measured, product_rate, side_by_side

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture
    from assistant.model.loaded import LoadedModel

_PEER = "open_clip (github.com/mlfoundations/open_clip): encode_image in float32 after its own preprocessing"
_PEER_TEXT = "open_clip: encode_text in float32, its tokenizer padding to 256 as BiomedCLIP's card does"
_IMAGE_GFLOP = 35.1
"""Of one 224-pixel picture through a ViT-B/16: 17.6 thousand million multiplications, each with its sum."""
_held: list[tempfile.TemporaryDirectory[str]] = []


@dataclass(frozen=True)
class Encoders:
    """One encoder, opened by open_clip and by this project."""

    theirs: Any
    preprocess: Any
    tokenize: Any
    ours: LoadedModel


@contextmanager
def own_state() -> Iterator[None]:
    """Keep what is remembered of a machine in a folder of the moment: it is measured, and nothing stays."""
    before = os.environ.get("MEDASSIST_STATE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDASSIST_STATE_DIR"] = folder
        try:
            yield
        finally:
            os.environ.pop("MEDASSIST_STATE_DIR")
            if before is not None:
                os.environ["MEDASSIST_STATE_DIR"] = before


@cache
def encoders() -> Encoders:
    """Make an encoder of BiomedCLIP's shape, ViT-B/16 and BERT-base, and open it both ways."""
    import open_clip
    from transformers import AutoTokenizer

    from assistant.model.build import assemble_folder
    from assistant.model.load import load_model, resolve
    from assistant.model.openclip import make_openclip_folder

    root = tempfile.TemporaryDirectory()
    _held.append(root)  # open while the process lives: weights are mapped from it
    starter = resolve("starter")
    tokenizer: Any = AutoTokenizer.from_pretrained(starter / "text_tower")
    layers = 2 if SETTINGS.quick else 12
    folder = make_openclip_folder(
        Path(root.name) / "encoder",
        text_config={"num_hidden_layers": layers, "max_position_embeddings": 512},
        tokenizer=tokenizer,
        trunk_args={"depth": layers},
    )
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    theirs.eval()
    llm = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    # The connector reads the layer before the last, as LLaVA's and LLaVA-Med's do.
    assemble_folder(folder, llm, starter, Path(root.name) / "model", name="B", feature_layer=-2)
    with own_state():
        ours = load_model(Path(root.name) / "model", device="cpu", encoding="auto")
    return Encoders(theirs, preprocess, open_clip.get_tokenizer(f"local-dir:{folder}"), ours)


def square_pictures(count: int) -> list[Picture]:
    """Return squares cut out of the pictures that ship: radiograph, CT, MR, ultrasound."""
    from dataclasses import replace

    from assistant.model.gate import gate_pictures

    rng, found = np.random.default_rng(0), []
    whole = gate_pictures()
    for number in range(count):
        one = whole[number % len(whole)]
        side = int(min(one.pixels.shape[:2]) * rng.uniform(0.6, 1.0))
        top, left = (int(rng.integers(0, size - side + 1)) for size in one.pixels.shape[:2])
        found.append(replace(one, pixels=np.ascontiguousarray(one.pixels[top : top + side, left : left + side])))
    return found


def embed_image(device: str) -> Sequence[Measured]:
    """Pictures to vectors of the joint space, preprocessing included on both sides; on the CPU."""
    import torch

    from assistant.engine.features import PictureEncoder

    both, pictures = encoders(), square_pictures(4 if SETTINGS.quick else 16)
    images = [one.to_pil() for one in pictures]

    def theirs() -> np.ndarray:
        with torch.no_grad():
            made = both.theirs.encode_image(torch.stack([both.preprocess(image) for image in images]), normalize=True)
            return np.asarray(made.numpy())

    def ours() -> np.ndarray:
        return np.stack([one.joint for one in PictureEncoder(both.ours).encode(pictures)])

    slow, fast = side_by_side(theirs, ours)
    cosine = float(np.sum(theirs() * ours(), axis=1).min())
    reached = None if SETTINGS.quick else _IMAGE_GFLOP * len(pictures) / fast / product_rate()
    note = f"{len(pictures)} pictures, {both.ours.encoding}, {len(pictures) / fast:.1f} a second against "
    note += f"{len(pictures) / slow:.1f}; limit: a bare bfloat16 product, {product_rate():.0f} GFLOP/s"
    gate = f"cosine {cosine:.5f}, at least 0.999"
    return [Measured("embed_image", _PEER, slow, fast, gate, cosine >= 0.999, 6.0, reached, note)]


def embed_text(device: str) -> Sequence[Measured]:
    """Short questions to vectors of the joint space; on the CPU."""
    import torch

    both = encoders()
    asked = ("is there an effusion on the left", "what does the lesion look like", "no fracture of the radius is seen")
    texts = [f"{asked[number % 3]}, number {number}" for number in range(4 if SETTINGS.quick else 16)]

    def theirs() -> np.ndarray:
        with torch.no_grad():
            made = both.theirs.encode_text(both.tokenize(texts, context_length=256), normalize=True)
            return np.asarray(made.numpy())

    slow, fast = side_by_side(theirs, lambda: both.ours.text.embed(texts))
    cosine = float(np.sum(theirs() * both.ours.text.embed(texts), axis=1).min())
    longest = max(len(one) for one in both.ours.text.tokenizer(texts)["input_ids"])
    note = f"{len(texts)} questions, at most {longest} tokens, {both.ours.text.encoding}"
    gate = f"cosine {cosine:.5f}, at least 0.99"
    return [Measured("embed_text", _PEER_TEXT, slow, fast, gate, cosine >= 0.99, 20.0, None, note)]
