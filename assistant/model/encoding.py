"""Which number format the encoder computes in on a CPU: chosen by a setting, let through by a gate.

An index holds vectors of float32, and the connector was trained on features of float32. A faster format is used only
where its vectors lie beside those: cosine of at least 0.999 for pictures, of at least 0.99 for texts, the worst of all
that are looked at. The gate runs when a format is chosen for the first time; what it found is kept for this machine.

The fingerprint of an encoder is that of its weights, so it does not change with the format, and an index may be built
in one and asked in another: two unit vectors of cosine c to their own are each at most sqrt(2 - 2 c) away, 0.045 for
pictures and 0.14 for texts, which bounds how far a score can move; what is found in practice stands in
docs/benchmarks.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from assistant.errors import ModelError

if TYPE_CHECKING:
    import torch

    from assistant.imaging.picture import Picture
    from assistant.model.fast_linear import FastEncoding
    from assistant.model.loaded import LoadedModel
    from assistant.model.text import TextTower
    from assistant.model.tower import FastImageTower

logger = logging.getLogger(__name__)

Encoding = Literal["exact", "float32", "bfloat16", "int8", "auto"]
"""`exact` is torch's own float32; the next three are fused and packed; `auto` takes the quickest that passes."""
IMAGE_COSINE = 0.999
TEXT_COSINE = 0.99
FILE = "encoder-gates.json"
_FAST: tuple[FastEncoding, ...] = ("float32", "bfloat16", "int8")
_GAIN = 1.1
"""`auto` leaves torch's own way only for one that is this many times as fast."""
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
        return f"{self.encoding}: cosine {self.cosine:.5f}, at least {self.needed:g}: {word}; {self.speed:.1f} times as fast"


def check_encoding(wanted: str) -> None:
    """Refuse a name that is no format.

    Args:
        wanted: as the user gave it.
    Raises:
        ModelError: it is none of `Encoding`.
    """
    if wanted not in get_args(Encoding):
        raise ModelError(f"encoding is {wanted!r}; use {', '.join(get_args(Encoding))}.")


def with_encoding(model: LoadedModel, wanted: Encoding) -> LoadedModel:
    """Return the model with its towers in another format, where the gate lets it through.

    Args:
        model: on the CPU; on a GPU only "exact" and "auto" are taken, and change nothing.
        wanted: the format.
    Returns:
        A model that shares all weights with the one given.
    Raises:
        ModelError: the format does not pass, or this machine cannot compute in it.
    """
    check_encoding(wanted)
    if wanted == "exact" or (wanted == "auto" and model.device != "cpu"):
        return model
    if model.device != "cpu":
        raise ModelError(f"encoding is {wanted!r}, which is for a CPU, but the model is on {model.device}. Use exact.")
    image = choose(wanted, f"image {model.contract.encoder} {_layers(model)}", lambda kind: gate_image(model, kind))
    return replace(
        model,
        text=with_text_encoding(model.text, wanted, model.contract.encoder),
        image_tower=None if image is None else _image_tower(model, image),
        encoding=image or "exact",
    )


def with_text_encoding(text: TextTower, wanted: Encoding, fingerprint: str) -> TextTower:
    """Return the text tower in another format, where the gate lets it through.

    Args:
        text: on the CPU.
        wanted: the format.
        fingerprint: of the encoder.
    Returns:
        The tower itself for "exact"; else one that shares its weights and its tokenizer.
    Raises:
        ModelError: as `with_encoding`.
    """
    check_encoding(wanted)
    if wanted == "exact":
        return text
    kind = choose(wanted, f"text {fingerprint}", lambda kind: gate_text(text, kind))
    return text if kind is None else text.in_format(kind)


def choose(wanted: FastEncoding | Literal["auto"], what: str, gate: Callable[[FastEncoding], Verdict]) -> FastEncoding | None:
    """Return the format to use, None for torch's own.

    Args:
        wanted: one format, or "auto".
        what: which tower of which weights, for what is remembered.
        gate: measures one format.
    Raises:
        ModelError: one format was asked for and does not pass.
    """
    from assistant.remembered import Remembered

    store = Remembered(FILE)

    def verdict(kind: FastEncoding) -> Verdict:
        known = store.get(f"{what} {kind}")
        try:
            found = Verdict(**known) if known else None
        except TypeError:  # of another version
            found = None
        if found is None:
            found = gate(kind)
            logger.info("%s: %s", what, found.describe())
            store.put(f"{what} {kind}", asdict(found))
        return found

    if wanted == "auto":
        found = [one for one in map(verdict, _FAST) if one.kept and one.speed >= _GAIN]
        return max(found, key=lambda one: one.speed).encoding if found else None
    one = verdict(wanted)
    if not one.kept:
        raise ModelError(
            f"encoding is {wanted!r}, which this encoder does not bear ({one.describe()}). "
            "Use auto, which takes the quickest format that passes, or exact."
        )
    return wanted


def gate_image(model: LoadedModel, kind: FastEncoding) -> Verdict:
    """Compare a format's picture vectors and features with those of float32, on the pictures that ship."""
    import torch

    from assistant.engine.features import bare, selected

    try:
        tower = _image_tower(model, kind)
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
    from assistant.model.load import starter_folder

    whole = [load_picture(path) for path in sorted((starter_folder() / "examples").glob("*.png"))]
    middles = []
    for one in whole:
        height, width = one.pixels.shape[:2]
        inner = one.pixels[height // 4 : height - height // 4, width // 4 : width - width // 4]
        middles.append(replace(one, pixels=np.ascontiguousarray(inner)))
    return [*whole, *middles]


def _layers(model: LoadedModel) -> str:
    from assistant.engine.features import bare

    config = bare(model.llava).config
    return f"{config.vision_feature_layer} {config.vision_feature_select_strategy} {model.dtype}"


def _image_tower(model: LoadedModel, kind: FastEncoding) -> FastImageTower:
    from assistant.engine.features import bare
    from assistant.model.tower import FastImageTower

    config = bare(model.llava).config
    vit = bare(model.llava).model.vision_tower
    layers = config.vision_feature_layer
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


def _impossible(kind: str, needed: float, error: Exception) -> Verdict:
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
