"""The gate before a faster number format of the encoder: is what it makes of pictures and texts the same?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.errors import ModelError
from assistant.model.tiles import read_layers

if TYPE_CHECKING:
    import torch

    from assistant.imaging.picture import Picture
    from assistant.model.fast_linear import FastEncoding
    from assistant.model.loaded import LoadedModel
    from assistant.model.text import TextTower
    from assistant.model.tower import FastImageTower

IMAGE_COSINE = 0.999
TEXT_COSINE = 0.99
TEXTS = (
    "Pleural effusion",
    "No pleural effusion is seen.",
    "Is there a fracture of the left distal radius?",
    "Axial T2-weighted MR image of the brain with a hyperintense lesion in the right frontal lobe.",
    "The heart is not enlarged. The lungs are clear, without consolidation, effusion or pneumothorax.",
    "Ultrasound of the kidney shows a simple cyst of 12 mm at the upper pole, thin walled and without flow.",
    "A nodule with ground-glass margins is followed at three months; a solid one above 8 mm is looked at by PET-CT, "
    "and one with popcorn calcification needs nothing more.",
    "x",
)
"""What the gate embeds: short, long, negated."""


@dataclass(frozen=True)
class Verdict:
    """What the gate found of one format, for one tower."""

    encoding: FastEncoding
    cosine: float
    """The worst, of joint vectors and, for pictures, of the features that the language model reads."""
    needed: float
    speed: float
    """Times as fast as torch's own float32."""
    fault: str = ""
    """Why the format cannot be used at all; empty if it can."""

    @property
    def kept(self) -> bool:
        """Whether the format may be used."""
        return not self.fault and self.cosine >= self.needed

    def describe(self) -> str:
        """Return it in a line."""
        if self.fault:
            return f"{self.encoding}: {self.fault}"
        word = "kept" if self.kept else "not kept"
        gate = f"cosine {self.cosine:.5f}, at least {self.needed:g}: {word}"
        return f"{self.encoding}: {gate}; {self.speed:.1f} times as fast"


def gate_image(model: LoadedModel, kind: FastEncoding) -> Verdict:
    """Compare a format's picture vectors and features with those of float32, on the pictures that ship."""
    import torch

    from assistant.model.parts import bare, selected

    try:
        tower = make_image_tower(model, kind)
    except (RuntimeError, NotImplementedError, AttributeError, ModelError) as error:
        return _impossible(kind, IMAGE_COSINE, error)
    config, vit = bare(model.llava).config, bare(model.llava).model.vision_tower
    exact = _float32(vit)
    projection = model.projection.float()
    pixels = model.pixel_values(gate_pictures()).float()

    def reference() -> tuple[torch.Tensor, torch.Tensor]:
        out = exact(pixels, output_hidden_states=True, return_dict=True)
        return selected(out.hidden_states, config), out.last_hidden_state[:, 0] @ projection.T

    def own() -> tuple[torch.Tensor, torch.Tensor]:
        states, last = tower(pixels)
        return selected(states, config), last @ projection.T

    with torch.inference_mode():
        try:
            pairs = list(zip(reference(), own(), strict=True))
        except RuntimeError as error:
            return _impossible(kind, IMAGE_COSINE, error)
        # A picture's features are compared as a whole: all its patches, one after the other.
        cosine = min(_cosine(first.flatten(1), second.flatten(1)) for first, second in pairs)
        return Verdict(kind, cosine, IMAGE_COSINE, _speed(reference, own))


def gate_text(text: TextTower, kind: FastEncoding) -> Verdict:
    """Compare a format's text vectors with those of float32."""
    try:
        own = text.in_format(kind)
        found = [own.embed(list(TEXTS)), text.embed(list(TEXTS))]
    except (RuntimeError, NotImplementedError, AttributeError, ModelError) as error:
        return _impossible(kind, TEXT_COSINE, error)
    cosine = float(np.min(np.sum(found[0] * found[1], axis=1)))
    return Verdict(kind, cosine, TEXT_COSINE, _speed(lambda: text.embed(list(TEXTS)), lambda: own.embed(list(TEXTS))))


def gate_pictures() -> list[Picture]:
    """Return the pictures that the gate looks at: radiograph, CT, MR and ultrasound, each whole and its middle."""
    from assistant.imaging.load import load_picture
    from assistant.model.folder import starter_folder

    whole = [load_picture(path) for path in sorted((starter_folder() / "examples").glob("*.png"))]
    middles = []
    for one in whole:
        height, width = one.pixels.shape[:2]
        inner = one.pixels[height // 4 : height - height // 4, width // 4 : width - width // 4]
        middles.append(replace(one, pixels=np.ascontiguousarray(inner)))
    return [*whole, *middles]


def make_image_tower(model: LoadedModel, kind: FastEncoding) -> FastImageTower:
    """Return a model's image tower in another format, whether or not the gate lets it through."""
    from assistant.model.parts import bare
    from assistant.model.tower import FastImageTower

    config = bare(model.llava).config
    vit = bare(model.llava).model.vision_tower
    layers, _ = read_layers(config.vision_feature_layer)
    chosen = [layers] if isinstance(layers, int) else list(layers)
    last = any(layer in (-1, len(vit.layers)) for layer in chosen)
    return FastImageTower(vit, kind, last_layer=last)


def _float32(vit: Any) -> Any:
    import copy

    import torch

    return vit if vit.dtype is torch.float32 else copy.deepcopy(vit).float()


def _cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    from torch.nn import functional

    return float(functional.cosine_similarity(first.float(), second.float()).min())


def _impossible(kind: FastEncoding, needed: float, error: Exception) -> Verdict:
    reason = f"not to be had here ({type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''})"
    return Verdict(kind, 0.0, needed, 0.0, reason)


def _speed(theirs: Callable[[], object], ours: Callable[[], object], turns: int = 2) -> float:
    """Run two ways in turn and return how many times as fast the second is."""
    least = [float("inf"), float("inf")]
    for _ in range(turns):
        for place, way in enumerate((theirs, ours)):
            started = time.perf_counter()
            way()
            least[place] = min(least[place], time.perf_counter() - started)
    return least[0] / max(least[1], 1e-9)
