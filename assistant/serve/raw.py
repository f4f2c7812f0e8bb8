"""`RawWriter`: text without retrieval and review, for a gateway in front that does both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assistant.config import GenerationConfig
from assistant.conversation import Usage
from assistant.engine.features import open_encoder
from assistant.engine.generate import Generator
from assistant.imaging.picture import Picture
from assistant.prompts import Message
from assistant.sampling import USUAL, Sampling

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel


@dataclass(frozen=True)
class RawRequest:
    """One conversation to go on with, exactly as it is."""

    messages: tuple[Message, ...]
    """With one slot for each picture."""
    pictures: tuple[Picture, ...]
    sampling: Sampling = USUAL


@dataclass(frozen=True)
class RawText:
    """What the model wrote."""

    text: str
    tokens: tuple[tuple[str, float], ...]
    """Each token with the natural logarithm of its probability, the end token included."""
    usage: Usage


class RawWriter:
    """Goes on with conversations.

    Args:
        model: writes.
        settings: what the requests leave open.
    """

    def __init__(self, model: LoadedModel, settings: GenerationConfig) -> None:
        self._pictures = open_encoder(model, settings)
        self._generator = Generator(model, settings)
        self._tokenizer = model.tokenizer

    def complete(self, requests: Sequence[RawRequest]) -> list[RawText]:
        """Write the next message of each conversation; several go through the model together.

        Args:
            requests: any number.
        Returns:
            One text each, in order.
        Raises:
            ConfigError: a conversation is too long for the model.
        """
        features = iter(self._pictures.encode([picture for one in requests for picture in one.pictures]))
        prompts = []
        for one in requests:
            prompt = self._generator.encoder.encode(one.messages, [next(features) for _ in one.pictures])
            self._generator.encoder.check_room(prompt)
            prompts.append(replace(prompt, sampling=one.sampling))
        made = []
        for prompt, written in zip(prompts, self._generator.generate(prompts), strict=True):
            ids = [*written.ids, *([self._tokenizer.eos_token_id] * (len(written.log_probs) - len(written.ids)))]
            words = [str(self._tokenizer.decode([one])) for one in ids]
            usage = Usage(len(prompt.ids), len(written.log_probs), written.finished)
            made.append(RawText(written.text, tuple(zip(words, written.log_probs, strict=True)), usage))
        return made
