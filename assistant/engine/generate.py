"""`Generator`: prompts in, text with token probabilities out; batched, streamed, or as shares of given options.

A compact loop over the language model of a stock Llava. Batches are padded on the left, a row leaves its batch when
its answer ends and another takes its place, and pictures enter as features that were computed before. It gives the
tokens of `model.generate`, without that method's fixed cost of each step, which for a small model is most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from assistant.config import GenerationConfig
from assistant.engine.flow import Flow, Ticket, write_all
from assistant.engine.language import Language
from assistant.engine.paths import Paths
from assistant.engine.prefix import PrefixCache, prefill
from assistant.engine.prompt import Prompt, PromptEncoder
from assistant.engine.row import Generated, Row, whole_words

if TYPE_CHECKING:
    from assistant.model.load import LoadedModel

__all__ = ["Generated", "Generator", "whole_words"]

_LIKE = 16
"""Prompts whose lengths differ by less than this count as equally long."""


class Generator:
    """Generates with one model.

    Args:
        model: whose connector, language model and tokenizer to use.
        settings: limits, sampling, batch size, precision and ways.
    Raises:
        ConfigError: the settings ask for a precision that this model cannot have here.
    """

    def __init__(self, model: LoadedModel, settings: GenerationConfig) -> None:
        self.language = Language(model, settings)
        self.encoder = PromptEncoder(model)
        self._ends = frozenset(model.contract.eos_token_ids)
        self._settings = settings
        self._prefixes = PrefixCache(settings.prefix_cache_mb * 1_000_000)

    @property
    def paths(self) -> Paths:
        """The ways that this model takes on this machine; the first look may measure them."""
        return self.language.paths

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int | None = None) -> list[Generated]:
        """Write an answer to each prompt.

        Args:
            prompts: any number; prompts of like length go together.
            max_new_tokens: the settings' own, unless given.

        Returns:
            One for each prompt, in order.
        """
        made = self.answer(prompts, [()] * len(prompts), max_new_tokens=max_new_tokens)
        return [generated for generated, _ in made]

    @torch.inference_mode()
    def answer(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[Sequence[str]],
        *,
        max_new_tokens: int | None = None,
    ) -> list[tuple[Generated, list[float]]]:
        """Write an answer to each prompt and weigh its options, from one prefill.

        Args:
            prompts: any number; prompts of like length go together.
            options: for each prompt the continuations to weigh; may be empty.
            max_new_tokens: the settings' own, unless given.

        Returns:
            For each prompt, in order, the free answer, and the log-probability that the whole answer is each option.
        """
        tickets = [
            self.ticket(prompt, choices, max_new_tokens=max_new_tokens)
            for prompt, choices in zip(prompts, options, strict=True)
        ]
        # The longest first, so that later ones fit beside them; among like ones those of one picture together.
        order = sorted(tickets, key=lambda one: (-(len(one.prompt.ids) // _LIKE), _pictures(one.prompt)))
        write_all(self.flow(), order)
        return [ticket.made for ticket in tickets]

    def flow(self, size: int | None = None) -> Flow:
        """Return an empty batch that prompts can join while it runs; use it under `torch.inference_mode`.

        Args:
            size: the most rows at once; the settings' batch size unless given.
        Returns:
            The flow.
        """
        return Flow(
            self.language,
            self.encoder,
            self._prefixes,
            size=size or self._settings.batch_size,
            sharing=self._settings.share_prefixes,
        )

    def ticket(self, prompt: Prompt, options: Sequence[str] = (), *, max_new_tokens: int | None = None) -> Ticket:
        """Return what joins a flow.

        Args:
            prompt: to answer.
            options: continuations to weigh.
            max_new_tokens: the settings' own, unless given; the prompt's own sampling goes before both.
        Returns:
            The ticket, to be used once.
        """
        row = Row(
            prompt,
            self._settings,
            longest=max_new_tokens or self._settings.max_new_tokens,
            room=self.encoder.context - len(prompt.ids),
            ends=self._ends,
            decode=self.encoder.decode,
        )
        return Ticket(prompt, row, options)

    def score_options(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Return the log-probability that the whole answer to `prompt` is each option, the end token included."""
        return self.score([prompt], [options])[0]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        """Weigh the options of several prompts of one length at once, as `score_options` does for one."""
        tickets = [self.ticket(prompt, choices) for prompt, choices in zip(prompts, options, strict=True)]
        sharing = self._settings.share_prefixes
        batch = prefill(self.language, prompts, self._prefixes, more=0, sharing=sharing, keep=False)
        return self.flow().score(batch, tickets)

    @torch.inference_mode()
    def weigh(self, prompt: Prompt, text: str, *, ended: bool) -> tuple[float, ...]:
        """Tell how likely a text is that was written elsewhere, by one pass over it.

        Args:
            prompt: that it answers.
            text: the answer.
            ended: whether it came to its end; then the end token counts.
        Returns:
            Natural logarithm of each token's probability.
        """
        ids = self.encoder.continuation(prompt, text)
        ids = ids if ended else ids[:-1]
        if not ids:
            return ()
        batch = prefill(
            self.language, [prompt], self._prefixes, more=0, sharing=self._settings.share_prefixes, keep=False
        )
        return tuple(map(float, self.flow().log_probs(batch, [(0, ids)])[0].tolist()))

    def stream(self, prompt: Prompt, *, max_new_tokens: int | None = None) -> Iterator[str | Generated]:
        """Yield the answer in pieces that end between words, then the whole as `Generated`; pieces join to its text."""
        flow, ticket = self.flow(1), self.ticket(prompt, max_new_tokens=max_new_tokens)
        ticket.row.watch()
        while True:
            # Entered for each step: a generator must not leave the mode switched on while its reader runs.
            with torch.inference_mode():
                if not flow.going:
                    flow.join([ticket])
                flow.step()
            yield from ticket.row.taken()
            if ticket.row.over:
                break
        yield ticket.row.generated()


def _pictures(prompt: Prompt) -> tuple[str, ...]:
    return tuple(one.content_id for one in prompt.features)
