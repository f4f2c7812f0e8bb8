"""Gives a model another encoder of the same width: one that was trained further, or at another size of picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.errors import ModelError
from assistant.model.adapter import refuse_quantized
from assistant.model.biomedclip import EncoderParts, read_encoder
from assistant.model.build import make_tower, save_parts
from assistant.model.load import adapter_base, load_model, resolve
from assistant.model.naming import made_name
from assistant.model.processor import make_processor
from assistant.model.writing import atomic_folder, describe, today


def replace_encoder(
    model: str | Path,
    encoder: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    training_data: Sequence[str] = (),
) -> Path:
    """Write a model folder with another encoder; connector and language model stay as they are.

    They know the old encoder's features, so that `align` or `sft` has to follow. What was measured with the old one
    (calibration, the guard's centres, index, card) does not come along.

    Args:
        model: whose language model, connector, tokenizer and settings are kept: a model folder, or "starter".
        encoder: an open_clip folder or hub id.
        out: the folder to make; it must not exist or must be empty. It appears whole or not at all.
        name: shown in answers; made of the model's name and the folder's if None.
        training_data: one line for each further data set used, with its licence.
    Returns:
        `out`.
    Raises:
        ModelError: a part is missing or broken, the model is an adapter, or the encoder has another width.
    """
    target, source = Path(out), resolve(model)
    if adapter_base(source) is not None:
        raise ModelError(f"{source} is an adapter; merge it first: python -m training.merge {source} --out DIR")
    loaded, parts = load_model(model, device="cpu", quantization="none"), read_encoder(encoder)
    llava: Any = loaded.llava
    refuse_quantized(llava)
    _check_width(parts, int(llava.config.vision_config.hidden_size), model, encoder)
    kept, kind = loaded.contract, llava.dtype
    class_token = llava.config.vision_feature_select_strategy == "full"
    llava.model.vision_tower = make_tower(parts)
    llava.config.vision_config = parts.vision_config
    side, patch = parts.image_size, int(parts.vision_config.patch_size)  # type: ignore[arg-type]
    llava.config.image_seq_length = (side // patch) ** 2 + class_token
    template = str(loaded.processor.chat_template)
    processor = make_processor(parts, loaded.tokenizer, template, class_token=class_token)
    fields = {
        "name": name or made_name(kept.name, target),
        "created": today(),
        "training_data": tuple(dict.fromkeys([*kept.training_data, *training_data])),
        "calibration": {},
    }
    with atomic_folder(target) as folder:
        save_parts(llava, parts, processor, folder, kind)
        kept.replace(**fields, **describe(llava, processor, folder)).write(folder)
    return target


def _check_width(parts: EncoderParts, width: int, model: str | Path, encoder: str | Path) -> None:
    given = int(parts.vision_config.hidden_size)
    if given != width:
        raise ModelError(
            f"The encoder {encoder} is {given} wide, and the connector of {model} takes {width}. Keep the language "
            "model alone, with a new connector: in the recipe of training.assemble, set `llm` in place of `model`."
        )
