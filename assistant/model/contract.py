"""`contract.json`: what a model folder's parts were made to fit, checked each time the folder is loaded."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.errors import ModelError

CONTRACT_NAME = "contract.json"


@dataclass(frozen=True)
class Contract:
    """One model's contract. Fingerprints are 16 hexadecimal digits."""

    name: str
    """What the model is called in answers and reports."""
    created: str
    """Date of the folder, YYYY-MM-DD."""
    encoder: str
    """Fingerprint of the image tower, text tower and both projections; an index must carry the same."""
    image_size: int
    """Side of the square picture that the tower reads, in pixels."""
    patch_size: int
    """Side of one patch, in pixels."""
    image_tokens: int
    """Places in the prompt that one picture takes: its patches, and the class token where the model reads it."""
    embedding_dim: int
    """Width of the joint image-text space."""
    feature_layer: int
    """Which hidden state of the tower the connector reads: -1 the last layer's, -2 the one before."""
    connector: str
    """"linear" or "mlp2x_gelu"."""
    connector_shape: tuple[int, int, int]
    """Widths in, hidden and out."""
    connector_fingerprint: str
    """Fingerprint of the connector's weights."""
    configuration: str
    """Fingerprint of the settings in config.json and text_tower/config.json."""
    template: str
    """Fingerprint of the chat template's text."""
    vocabulary: int
    """Number of tokens the tokenizer knows."""
    image_token_id: int
    eos_token_ids: tuple[int, ...]
    """Each of these ends an answer."""
    pad_token_id: int
    prompt_version: str
    """Version of `assistant.prompts` that the model was trained with."""
    licence: str
    """SPDX identifier or name of the licence of the weights."""
    training_data: tuple[str, ...]
    """Each data set used, with its licence."""
    quantization: str | None = None
    """How the language model is loaded on a GPU when nothing else is asked: "nf4", "int8" or null for neither."""
    base: str | None = None
    """For an adapter folder: fingerprint of the folder it was trained on."""
    calibration: dict[str, float] = field(default_factory=dict)
    """Numbers measured on development data: temperature, abstain_below, …"""
    capabilities: dict[str, str] = field(default_factory=dict)
    """What the model can do besides the usual, such as {"text_only": "quote"}; see also `assistant.asking.PromptMaker`.
    `comparison` "written" says that evaluation showed it to tell change between two images."""
    version: int = 1
    """Of this file's form."""
    tiles: int = 1
    """Tiles along a side that a picture is looked at in beside the whole; see `assistant.model.tiles`. Written only
    where there are any."""

    @property
    def picture_size(self) -> int:
        """Side in pixels of all that is seen of a picture: the tower's, times the tiles along it."""
        return self.image_size * self.tiles

    def to_json(self) -> str:
        """Return the text of `contract.json`."""
        told = dataclasses.asdict(self)
        if self.tiles == 1:
            del told["tiles"]
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"

    def replace(self, **changes: Any) -> Contract:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def write(self, folder: Path) -> None:
        """Write `contract.json` into `folder`, whole or not at all."""
        temporary = folder / f".{CONTRACT_NAME}.{os.getpid()}"
        temporary.write_text(self.to_json(), encoding="utf-8")
        temporary.replace(folder / CONTRACT_NAME)

    @classmethod
    def read(cls, folder: Path) -> Contract:
        """Read `contract.json` from a model folder.

        Args:
            folder: a model folder.
        Returns:
            the contract.
        Raises:
            ModelError: there is none, or it is not as `from_json` wants it.
        """
        path = folder / CONTRACT_NAME
        if not path.is_file():
            raise ModelError(
                f"{folder} has no {CONTRACT_NAME}, so nothing tells whether its parts fit. "
                "Make model folders with: python -m training.assemble RECIPE.yaml"
            )
        return cls.from_json(path.read_text(encoding="utf-8"), where=str(path))

    @classmethod
    def from_json(cls, text: str, *, where: str = CONTRACT_NAME) -> Contract:
        """Parse the text of a contract; every key must be there with the right type, and no other.

        Args:
            text: the file's content.
            where: named in errors.
        Returns:
            the contract.
        Raises:
            ModelError: it is no JSON object, or keys are unknown, missing or of a wrong type; all are named at once.
        """
        mend = "Restore the file from its source, or make the folder again: python -m training.assemble RECIPE.yaml"
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ModelError(f"{where} is no JSON ({error}). {mend}") from error
        if not isinstance(data, dict):
            raise ModelError(f"{where} holds a {type(data).__name__}, not an object. {mend}")
        known = {item.name: item for item in dataclasses.fields(cls)}
        faults = [f"unknown key {key!r}" for key in data if key not in known]
        faults += [f"missing key {key!r}" for key in known if key not in data and key != "tiles"]
        faults += [
            f"{key} is {data[key]!r}, not {item.type}"
            for key, item in known.items()
            if key in data and not _fits(data[key], str(item.type))
        ]
        if faults:
            raise ModelError(f"{where} does not fit: {'; '.join(faults)}. {mend}")
        if data["version"] != 1:
            raise ModelError(f"{where} is of form {data['version']}; this program reads form 1. Update medassist.")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return cls(**values)

    def check(self, found: Mapping[str, Any], *, where: str) -> None:
        """Compare with what was found in the folder.

        Args:
            found: field names of this class with the values observed.
            where: the folder, named in the error.
        Raises:
            ModelError: some differ; each is named with both values and what to do.
        """
        faults = [
            f"{name} is {value!r} but the contract says {getattr(self, name)!r} ({_MENDS.get(name, _MENDS['other'])})"
            for name, value in found.items()
            if value != getattr(self, name)
        ]
        if faults:
            raise ModelError(f"{where} does not keep its contract: {'; '.join(faults)}.")


_MENDS = {
    "encoder": "the image or text encoder is another one: restore it, or run python -m training.assemble with it and "
    "then python -m training.align",
    "connector": "the connector is of another kind: restore config.json, or train one with python -m training.align",
    "connector_shape": "the connector is of another shape: restore it, or train one with python -m training.align",
    "connector_fingerprint": "the connector's weights are another model's: restore model.safetensors, or train one "
    "with python -m training.align",
    "configuration": "config.json or text_tower/config.json was changed: restore it",
    "tiles": "pictures would be read in other views than those the connector was trained with: restore config.json and "
    "contract.json, or make a model with tiles with python -m training.tiles",
    "template": "chat_template.jinja was changed: restore it, for the model was trained with the other",
    "base": "the adapter was trained on another base: load it on that one, or train it again with "
    "python -m training.sft",
    "other": "restore the folder's files from their source, or make it again with python -m training.assemble",
}


def _fits(value: Any, kind: str) -> bool:
    if kind.endswith("| None"):
        return value is None or _fits(value, kind.removesuffix("| None").strip())
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "str":
        return isinstance(value, str)
    if kind.startswith("tuple"):
        inner = kind[len("tuple[") : -1].split(", ")
        if not isinstance(value, list):
            return False
        if inner[-1] != "..." and len(inner) != len(value):
            return False
        return all(_fits(item, inner[0]) for item in value)
    if kind.startswith("dict"):
        inner_kind = kind[len("dict[") : -1].split(", ")[1]
        return isinstance(value, dict) and all(_fits(item, inner_kind) for item in value.values())
    return isinstance(value, int | float) and not isinstance(value, bool)
