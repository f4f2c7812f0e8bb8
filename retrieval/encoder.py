"""The encoder that an index is made with: text and pictures → vectors of one joint space."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from assistant.engine.features import PictureEncoder
    from assistant.imaging.picture import Picture
    from assistant.model.encoding import Encoding
    from assistant.model.load import LoadedModel
    from assistant.model.text import TextTower


class Encoder(Protocol):
    """Whatever an index can be made with. All vectors are float32, (N, E), of length 1."""

    @property
    def fingerprint(self) -> str:
        """Identity of the weights: an index is only used with the encoder that made it."""
        ...

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """Return one vector a text."""
        ...

    def embed_images(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Return one vector a picture, comparable with those of texts."""
        ...


class ModelEncoder:
    """The encoder of a model that is loaded already: what the assistant uses."""

    def __init__(self, model: LoadedModel, pictures: PictureEncoder | None = None) -> None:
        """Wrap a model.

        Args:
            model: its text tower, image tower and contract are used.
            pictures: the assistant's own picture encoder, so that its cache is shared; a new one if None.
        """
        self._model = model
        self._pictures = pictures

    @property
    def fingerprint(self) -> str:
        """The contract's fingerprint of image tower, text tower and projections."""
        return self._model.contract.encoder

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """Return (N, E) text vectors."""
        return self._model.text.embed(list(texts))

    def embed_images(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Return (N, E) image vectors."""
        if self._pictures is None:
            from assistant.engine.features import PictureEncoder

            self._pictures = PictureEncoder(self._model)
        return np.stack([features.joint for features in self._pictures.encode(list(pictures))]).astype(np.float32)


class FolderEncoder:
    """The encoder of a model folder. Opens the text tower when a text comes, and the rest only when a picture does."""

    def __init__(self, name: str | Path = "starter", encoding: Encoding = "exact") -> None:
        """Read the folder's contract and nothing more.

        Args:
            name: "starter", a model folder, or an adapter folder.
            encoding: number format; any but "exact" passes a gate first: `assistant.model.encoding`.
        Raises:
            ModelError: there is no such model, or it has no contract that can be read.
        """
        from assistant.model.contract import Contract
        from assistant.model.encoding import check_encoding
        from assistant.model.load import resolve

        self._folder = resolve(name)
        self._contract = Contract.read(self._folder)
        check_encoding(encoding)
        self._encoding = encoding

    @property
    def fingerprint(self) -> str:
        """The contract's fingerprint of image tower, text tower and projections."""
        return self._contract.encoder

    def tokens(self) -> tuple[Callable[[str], int], int]:
        """Return how to count a text's tokens, without the marks at its ends, and how many the text tower reads.

        Only the tokenizer is opened, which takes no torch.
        """
        from tokenizers import Tokenizer

        folder = self._text_folder / "text_tower"
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        given = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        longest = int(min(given.get("model_max_length", 1e30), config["max_position_embeddings"]))
        marks = len(tokenizer.encode("").ids)
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids), longest - marks

    @property
    def _text_folder(self) -> Path:
        from assistant.model.load import adapter_base

        own = self._folder / "projection.safetensors"
        return self._folder if own.is_file() else adapter_base(self._folder) or self._folder

    @cached_property
    def _text(self) -> TextTower:
        from assistant.model.encoding import with_text_encoding
        from assistant.model.tensors import read_tensors
        from assistant.model.text import TextTower

        folder = self._text_folder
        text = TextTower.open(folder / "text_tower", read_tensors(folder / "projection.safetensors"), "cpu")
        return with_text_encoding(text, self._encoding, self._contract.encoder)

    @cached_property
    def _model(self) -> ModelEncoder:
        from assistant.model.load import load_model

        return ModelEncoder(load_model(self._folder, encoding=self._encoding))

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """Return (N, E) text vectors."""
        return self._text.embed(list(texts))

    def embed_images(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Return (N, E) image vectors; loads the whole model the first time."""
        return self._model.embed_images(pictures)
