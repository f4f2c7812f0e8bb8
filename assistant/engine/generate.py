"""`Generator`: prompts in, text with token probabilities out; batched, streamed, or as shares of given options.

A compact loop over the language model of a stock Llava. Batches are padded on the left, a row leaves its batch when
its answer ends, and pictures enter as features that were computed before. It gives the tokens of `model.generate`,
without that method's fixed cost of each step, which for a small model is most of the time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from assistant.config import GenerationConfig
from assistant.engine.features import bare
from assistant.engine.prompt import Prompt, PromptEncoder
from assistant.engine.row import Generated, Row, pick, whole_words

if TYPE_CHECKING:
    from assistant.model.load import LoadedModel

__all__ = ["Generated", "Generator", "whole_words"]

_MAX_OPTION_ROWS = 64


@dataclass
class _State:
    """A batch between two steps. B rows, T tokens so far, V vocabulary."""

    cache: Any
    mask: torch.Tensor
    """(B, T), 1 for real tokens, 0 for padding on the left."""
    logits: torch.Tensor
    """(B, V) float32, for the next token."""

    def select(self, rows: torch.Tensor) -> None:
        """Keep some rows, or repeat them."""
        for layer in self.cache.layers:
            layer.batch_select_indices(rows)
        self.mask, self.logits = self.mask[rows], self.logits[rows]


class Generator:
    """Generates with one model.

    Args:
        model: whose connector, language model and tokenizer to use.
        settings: limits, sampling and batch size.
    """

    def __init__(self, model: LoadedModel, settings: GenerationConfig) -> None:
        llava = bare(model.llava)
        self._connector, self._language = llava.model.multi_modal_projector, llava.model.language_model
        self._head, self._embed = llava.lm_head, llava.get_input_embeddings()
        self._text_config = llava.config.get_text_config()
        self._image_id, self._pad_id = model.contract.image_token_id, model.contract.pad_token_id
        self._ends = frozenset(model.contract.eos_token_ids)
        self._settings = settings
        self.encoder = PromptEncoder(model)

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
        done: dict[int, tuple[Generated, list[float]]] = {}
        for rows in self._batches(prompts):
            part = [prompts[row] for row in rows]
            state = self._prefill(part)
            scores = self._score(state, part, [options[row] for row in rows])
            done.update(zip(rows, zip(self._decode(state, part, max_new_tokens), scores, strict=True), strict=True))
        return [done[row] for row in range(len(prompts))]

    @torch.inference_mode()
    def score_options(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Return the log-probability that the whole answer to `prompt` is each option, the end token included."""
        return self._score(self._prefill([prompt]), [prompt], [options])[0]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        """Weigh the options of several prompts of one length at once, as `score_options` does for one."""
        return self._score(self._prefill(prompts), prompts, options)

    def stream(self, prompt: Prompt, *, max_new_tokens: int | None = None) -> Iterator[str | Generated]:
        """Yield the answer in pieces that end between words, then the whole as `Generated`; pieces join to its text."""
        (row,) = self._rows([prompt], max_new_tokens)
        row.watch()
        steps = self._write(None, [prompt], [row])
        while True:
            # Entered for each step: a generator must not leave the mode switched on while its reader runs.
            with torch.inference_mode():
                ended = next(steps, True)
            yield from row.taken()
            if ended:
                break
        yield row.generated()

    def _batches(self, prompts: Sequence[Prompt]) -> Iterator[list[int]]:
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row].ids))
        size = self._settings.batch_size
        return (order[start : start + size] for start in range(0, len(order), size))

    def _prefill(self, prompts: Sequence[Prompt]) -> _State:
        from transformers import DynamicCache

        device = self._embed.weight.device
        longest = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), longest), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(prompts), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt.ids) :] = torch.tensor(prompt.ids)
            mask[row, longest - len(prompt.ids) :] = 1
        ids, mask = ids.to(device), mask.to(device)
        embeds = self._embed(ids)
        patches = [features.patches for prompt in prompts for features in prompt.features]
        if patches:
            weight = next(self._connector.parameters())
            visual = self._connector(torch.stack(patches).to(weight.device, weight.dtype))
            places = (ids == self._image_id) & mask.bool()
            embeds[places] = visual.reshape(-1, embeds.shape[-1]).to(embeds.device, embeds.dtype)
        state = _State(DynamicCache(config=self._text_config), mask[:, :0], embeds.new_zeros(0))
        state.logits = self._forward(state, embeds, mask)[:, -1]
        return state

    def _forward(self, state: _State, embeds: torch.Tensor, mask: torch.Tensor, last: int = 1) -> torch.Tensor:
        """Extend the state by (B, t, D) embeddings with their (B, t) mask; return the (B, last, V) last logits."""
        state.mask = torch.cat([state.mask, mask], dim=1)
        positions = (state.mask.cumsum(-1) - 1).clamp(min=0)[:, -embeds.shape[1] :]
        out = self._language(
            inputs_embeds=embeds,
            attention_mask=None if bool(state.mask.all()) else state.mask,
            position_ids=positions,
            past_key_values=state.cache,
            use_cache=True,
        )
        logits: torch.Tensor = self._head(out.last_hidden_state[:, -last:]).float()
        return logits

    def _rows(self, prompts: Sequence[Prompt], max_new_tokens: int | None) -> list[Row]:
        return [
            Row(
                prompt,
                self._settings,
                longest=max_new_tokens or self._settings.max_new_tokens,
                room=self.encoder.context - len(prompt.ids),
                ends=self._ends,
                decode=self.encoder.decode,
            )
            for prompt in prompts
        ]

    def _write(self, state: _State | None, prompts: Sequence[Prompt], rows: Sequence[Row]) -> Iterator[bool]:
        """Give every row its next token at each step until all are over; a row leaves the batch when it is."""
        state = state or self._prefill(prompts)
        going = list(rows)
        while True:
            log_probs = torch.log_softmax(state.logits, dim=-1)
            tokens = pick(state.logits, going)
            chosen = log_probs.gather(1, tokens[:, None])[:, 0]
            for row, token, log_prob in zip(going, tokens.tolist(), chosen.tolist(), strict=True):
                row.take(token, log_prob)
            places = [place for place, row in enumerate(going) if not row.over]
            if not places:
                return
            yield False
            if len(places) < len(going):
                kept = torch.tensor(places, device=tokens.device)
                state.select(kept)
                tokens, going = tokens[kept], [going[place] for place in places]
            state.logits = self._forward(state, self._embed(tokens[:, None]), torch.ones_like(tokens[:, None]))[:, -1]

    def _decode(self, state: _State, prompts: Sequence[Prompt], max_new_tokens: int | None) -> list[Generated]:
        rows = self._rows(prompts, max_new_tokens)
        for _ in self._write(state, prompts, rows):
            pass
        return [row.generated() for row in rows]

    def _score(self, state: _State, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        wanted = [
            (row, self.encoder.continuation(prompt, option))
            for row, (prompt, choices) in enumerate(zip(prompts, options, strict=True))
            for option in choices
        ]
        scores: list[list[float]] = [[] for _ in prompts]
        for start in range(0, len(wanted), _MAX_OPTION_ROWS):
            part = wanted[start : start + _MAX_OPTION_ROWS]
            for (row, _), score in zip(part, self._score_rows(state, part), strict=True):
                scores[row].append(score)
        return scores

    def _score_rows(self, state: _State, wanted: Sequence[tuple[int, list[int]]]) -> list[float]:
        device = state.logits.device
        longest = max(len(ids) for _, ids in wanted)
        ids = torch.zeros((len(wanted), longest), dtype=torch.long)
        mask = torch.zeros((len(wanted), longest), dtype=torch.long)
        for place, (_, option) in enumerate(wanted):
            ids[place, : len(option)] = torch.tensor(option)
            mask[place, : len(option)] = 1
        ids, mask = ids.to(device), mask.to(device)
        branch = _State(copy.deepcopy(state.cache), state.mask, state.logits)
        branch.select(torch.tensor([row for row, _ in wanted], device=device))
        logits = branch.logits[:, None]
        if longest > 1:
            # Padding stands on the right here: no real token comes after it, so none can see it.
            after = self._forward(branch, self._embed(ids[:, :-1]), mask[:, :-1], last=longest - 1)
            logits = torch.cat([logits, after], dim=1)
        chosen = torch.log_softmax(logits, dim=-1).gather(2, ids[:, :, None])[:, :, 0]
        return [float(value) for value in (chosen * mask).sum(-1).tolist()]
