"""`PromptEncoder`: a conversation and its pictures' features become token ids, exactly as in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError
from assistant.imaging.picture import Picture
from assistant.prompts import Message
from assistant.sampling import USUAL, Sampling

if TYPE_CHECKING:
    from assistant.engine.features import PictureFeatures
    from assistant.model.load import LoadedModel


@dataclass(frozen=True, eq=False)
class Prompt:
    """One prompt, ready for the language model. T tokens."""

    text: str
    """The rendered chat template, each picture as one image token."""
    ids: tuple[int, ...]
    """(T,), each picture as as many image tokens as it has patches."""
    features: tuple[PictureFeatures, ...]
    """In the order of their places in the text."""
    messages: tuple[Message, ...] = ()
    """What the text was rendered from; another server renders it with its own template."""
    pictures: tuple[Picture, ...] = ()
    """Those of `features`, for a server that has none of them."""
    sampling: Sampling = USUAL
    """How the answer to this prompt is to be written."""
    room: int = 1 << 30
    """The most tokens of an answer that the model's context leaves."""


class PromptEncoder:
    """Turns messages into `Prompt`s with the model's own template and tokenizer."""

    def __init__(self, model: LoadedModel) -> None:
        self._processor: Any = model.processor
        self._tokenizer: Any = model.processor.tokenizer
        self._image_token = str(model.processor.image_token)
        self._image_id = int(model.contract.image_token_id)
        self._model_name = model.name
        config: Any = model.llava.config
        self.context = int(getattr(config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
        """The most tokens, prompt and answer together, that the language model takes."""
        ends = [token for token in model.contract.eos_token_ids if token == self._tokenizer.eos_token_id]
        self._end = int((ends or list(model.contract.eos_token_ids))[0])

    def clean(self, text: str) -> str:
        """Return a person's text without the model's own markers, so that it cannot pass for a turn or a picture."""
        for marker in self._tokenizer.all_special_tokens:
            text = text.replace(marker, " ")
        return " ".join(text.replace(self._image_token, " ").split())

    def count(self, text: str) -> int:
        """Return how many tokens a piece of text takes."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode(self, messages: Sequence[Message], features: Sequence[PictureFeatures]) -> Prompt:
        """Make the prompt for a conversation whose next turn is the assistant's.

        Args:
            messages: made by `assistant.prompts`, with one picture slot for each of `features`.
            features: in the order of the slots.

        Returns:
            The prompt.

        Raises:
            ValueError: slots and features differ in number.
        """
        text = self._processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        raw = self._token_ids(text)
        if raw.count(self._image_id) != len(features):
            raise ValueError(
                f"The messages have {raw.count(self._image_id)} picture slots for {len(features)} pictures."
            )
        waiting = iter(features)
        ids: list[int] = []
        for token in raw:
            ids.extend([token] * (len(next(waiting).patches) if token == self._image_id else 1))
        return Prompt(text, tuple(ids), tuple(features), tuple(messages), room=self.context - len(ids))

    def check_room(self, prompt: Prompt) -> None:
        """Refuse a prompt that leaves no room for an answer.

        Args:
            prompt: made by `encode`.

        Raises:
            ConfigError: it is as long as the model's context, or longer.
        """
        if len(prompt.ids) >= self.context:
            raise ConfigError(
                f"The question with its {len(prompt.features)} picture(s) takes {len(prompt.ids)} tokens, but "
                f"{self._model_name} takes {self.context} with the answer. Shorten it, or send fewer pictures."
            )

    def continuation(self, prompt: Prompt, text: str) -> list[int]:
        """Return the ids of an answer as it would stand after `prompt`, its end token included."""
        before, whole = self._token_ids(prompt.text), self._token_ids(prompt.text + text)
        tail = whole[len(before) :]
        if whole[: len(before)] != before or not tail:
            # The answer's first letters melt into the prompt's last token: take the answer's own tokens.
            tail = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*map(int, tail), self._end]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated tokens, markers left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def _token_ids(self, text: str) -> list[int]:
        # As processors do: a template that writes the start token itself gets no second one.
        start = self._tokenizer.bos_token
        special = not (start and text.startswith(start))
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])
