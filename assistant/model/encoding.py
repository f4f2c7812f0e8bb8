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
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal, get_args

from assistant.errors import ModelError

if TYPE_CHECKING:
    from assistant.model.fast_linear import FastEncoding
    from assistant.model.gate import Verdict
    from assistant.model.loaded import LoadedModel
    from assistant.model.text import TextTower

logger = logging.getLogger(__name__)

Encoding = Literal["exact", "float32", "bfloat16", "int8", "auto"]
"""`exact` is torch's own float32; the next three are fused and packed; `auto` takes the quickest that passes."""
FILE = "encoder-gates.json"
_FAST: tuple[FastEncoding, ...] = ("float32", "bfloat16", "int8")
_GAIN = 1.1
"""`auto` leaves torch's own way only for one that is this many times as fast."""


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
    from assistant.model.gate import gate_image, make_image_tower

    if wanted == "exact" or (wanted == "auto" and model.device != "cpu"):
        return model
    if model.device != "cpu":
        raise ModelError(f"encoding is {wanted!r}, which is for a CPU, but the model is on {model.device}. Use exact.")
    image = choose(wanted, _image_name(model), lambda kind: gate_image(model, kind))
    return replace(
        model,
        text=with_text_encoding(model.text, wanted, model.contract.encoder),
        image_tower=None if image is None else make_image_tower(model, image),
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
    from assistant.model.gate import gate_text

    kind = choose(wanted, _text_name(fingerprint), lambda kind: gate_text(text, kind))
    return text if kind is None else text.in_format(kind)


def choose(
    wanted: FastEncoding | Literal["auto"], what: str, gate: Callable[[FastEncoding], Verdict]
) -> FastEncoding | None:
    """Return the format to use, None for torch's own.

    Args:
        wanted: one format, or "auto".
        what: which tower of which weights, for what is remembered.
        gate: measures one format.
    Returns:
        The format.
    Raises:
        ModelError: one format was asked for and does not pass.
    """
    from assistant.model.gate import Verdict
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
            if not found.fault:  # what is at fault may be mended; only figures are kept
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


def verdicts(model: LoadedModel) -> list[str]:
    """Return what the gate found of the formats in use, a line for each tower."""
    from assistant.model.gate import Verdict
    from assistant.remembered import Remembered

    store, lines = Remembered(FILE), []
    for name, what, kind in (
        ("pictures", _image_name(model), model.encoding),
        ("texts", _text_name(model.contract.encoder), model.text.encoding),
    ):
        if found := store.get(f"{what} {kind}"):
            lines.append(f"{name} {Verdict(**found).describe()}")
    return lines


def _text_name(fingerprint: str) -> str:
    return f"text {fingerprint}"


def _image_name(model: LoadedModel) -> str:
    """What a verdict on pictures holds for: these weights, and which of the layers are read."""
    from assistant.model.parts import bare

    config = bare(model.llava).config
    layers = f"{config.vision_feature_layer} {config.vision_feature_select_strategy}"
    return f"image {model.contract.encoder} {layers} {model.dtype}"
