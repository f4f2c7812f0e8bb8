"""`Language`: connector, language model and head of one loaded model, on the ways that suit this machine."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from assistant.config import GenerationConfig
from assistant.engine.attention import matmul_attention
from assistant.engine.batch import Batch
from assistant.engine.cache import KeyValues
from assistant.engine.last_layer import with_last_layer
from assistant.engine.linears import Int8Linear, Use, plain_linears, repacked, with_linears
from assistant.engine.paths import Paths, matmul_use, packed_use
from assistant.engine.static_step import StaticSteps
from assistant.errors import ConfigError
from assistant.model.parts import bare

if TYPE_CHECKING:
    from assistant.engine.prompt import Prompt
    from assistant.model.loaded import LoadedModel

logger = logging.getLogger(__name__)

_MOST_OF_MEMORY = 0.25
"""Share of the free memory that a second copy of the weights may take."""


@dataclass
class _Ready:
    """What runs, and the state of the weights that it was made from."""

    decoder: nn.Module | None
    """None stands for the model's own: a strong reference to it would keep it in memory for ever."""
    head: nn.Module | None
    dtype: torch.dtype
    paths: Paths
    stamp: tuple[Any, ...]


# One model may have several generators, each with the same copies of its weights.
_ready: WeakKeyDictionary[nn.Module, dict[tuple[str, ...], _Ready]] = WeakKeyDictionary()
_making = Lock()


class Language:
    """Runs tokens through the language model of a stock Llava.

    Args:
        model: whose parts to use; it is never changed.
        settings: precision and ways.
    Raises:
        ConfigError: fewer bits are asked for where they cannot be had.
    """

    def __init__(self, model: LoadedModel, settings: GenerationConfig) -> None:
        llava = bare(model.llava)
        self._connector, self._decoder = llava.model.multi_modal_projector, llava.model.language_model
        self._head, self._embed = llava.lm_head, llava.get_input_embeddings()
        self._adapted = model.llava
        self.config = llava.config.get_text_config()
        self.image_id, self._pad_id = int(model.contract.image_token_id), model.contract.pad_token_id
        self._settings = settings
        self.device = self._embed.weight.device
        self.passed = 0
        """Tokens of prompts that went through the language model so far; those that were known are not counted."""
        kinds = set(getattr(self.config, "layer_types", None) or ())
        self.windowed = bool(kinds - {"full_attention"} or (not kinds and getattr(self.config, "sliding_window", None)))
        """Whether some layer sees only what is near, counted in columns: then rows must have no gaps."""
        self._way = self._step_way()
        self._steps: tuple[_Ready, StaticSteps] | None = None
        self._check()

    def _step_way(self) -> str:
        """Return how a step of one token runs: `growing`, `static` or `graph`."""
        asked = self._settings.decode_step
        fits = not self.windowed and self.config._attn_implementation == "sdpa"
        if asked == "graph" and self.device.type != "cuda":
            raise ConfigError(f"decode_step is graph, which is for a GPU; this model is on {self.device}. Use auto.")
        if asked in ("static", "graph") and not fits:
            raise ConfigError(
                f"decode_step is {asked}, but the layers of this model do not attend to everything before them by "
                "torch's own function. Use auto."
            )
        if asked != "auto":
            return asked
        return "graph" if fits and self.device.type == "cuda" else "growing"

    def _check(self) -> None:
        asked = self._settings.precision
        if asked == "exact":
            return
        if self.device.type != "cpu":
            raise ConfigError(
                f"precision is {asked}, which is for a CPU; this model is on {self.device}. "
                "There use dtype: bfloat16, or quantization: nf4."
            )
        if any(not one.weight.dtype.is_floating_point for one in self._decoder.modules() if isinstance(one, nn.Linear)):
            raise ConfigError(
                f"precision is {asked}, but the language model is loaded in {model_bits(self._decoder)} already. "
                "Use quantization: none, or precision: exact."
            )

    def stamp(self) -> tuple[Any, ...]:
        """Return what changes when a weight or the active adapter does; equal stamps mean equal answers."""
        parts = (self._connector, self._embed, self._decoder, self._head)
        weights = [one for part in parts for one in part.parameters()]
        versions = tuple(0 if one.is_inference() else one._version for one in weights)
        active = getattr(self._adapted, "active_adapters", None)
        return (*versions, *map(id, weights), str(active if isinstance(active, list | str) else ""))

    @property
    def paths(self) -> Paths:
        """The ways that are taken; they are chosen on first use."""
        return replace(self._get().paths, step=self._way)

    def _get(self) -> _Ready:
        settings = self._settings
        key = (settings.precision, settings.linears, settings.decode_attention)
        stamp = self.stamp()
        with _making:
            known = _ready.setdefault(self._decoder, {})
            if key not in known or known[key].stamp != stamp:
                known[key] = self._make(stamp)
            return known[key]

    def _make(self, stamp: tuple[Any, ...]) -> _Ready:
        settings, decoder, head = self._settings, self._decoder, self._head
        if settings.precision != "exact":
            decoder, head = copy.deepcopy(decoder).to(torch.bfloat16), copy.deepcopy(head).to(torch.bfloat16)
        packed: dict[tuple[int, int], Use] = {}
        linears = [one for part in (decoder, head) for one in plain_linears(part) if not one.weight.requires_grad]
        fits = sum(one.weight.nbytes for one in linears) < _MOST_OF_MEMORY * _free_memory()
        wanted = settings.linears if fits or settings.linears == "packed" else "torch"

        def pack(linear: nn.Linear) -> nn.Module:
            # What is still being trained changes under a copy.
            if linear.weight.requires_grad:
                return linear
            outputs, inputs = linear.weight.shape
            use = packed.setdefault((outputs, inputs), packed_use(linear, wanted))
            return repacked(linear, use) if any(use) else linear

        with torch.inference_mode(False), torch.no_grad():
            decoder = with_last_layer(with_linears(decoder, Int8Linear if settings.precision == "int8" else pack))
            head = with_linears(head, pack)
        kind = next(decoder.parameters()).dtype if settings.precision != "exact" else self._embed.weight.dtype
        matmul = matmul_use(self.config, kind, self.device.type, settings.decode_attention)
        paths = Paths(settings.precision, packed, matmul)
        logger.info("engine: %s", paths.describe())
        own, own_head = decoder is self._decoder, head is self._head
        return _Ready(None if own else decoder, None if own_head else head, kind, paths, stamp)

    def embeds(self, prompts: Sequence[Prompt], spans: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what stands for a stretch of each prompt, padded on the left.

        Args:
            prompts: B of them.
            spans: from which token up to which, for each.
        Returns:
            (B, t, D) and the (B, t) bool mask of what is no padding.
        """
        longest = max(stop - start for start, stop in spans)
        ids = torch.full((len(prompts), longest), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(prompts), longest), dtype=torch.bool)
        patches: list[torch.Tensor] = []
        for row, (prompt, (start, stop)) in enumerate(zip(prompts, spans, strict=True)):
            ids[row, longest - (stop - start) :] = torch.tensor(prompt.ids[start:stop])
            mask[row, longest - (stop - start) :] = True
            patches += _patches(prompt, start, stop, self.image_id)
        ids, mask = ids.to(self.device), mask.to(self.device)
        embeds: torch.Tensor = self._embed(ids)
        if patches:
            weight = next(self._connector.parameters())
            visual = self._connector(torch.cat(patches)[None].to(weight.device, weight.dtype))[0]
            places = (ids == self.image_id) & mask
            embeds[places] = visual.to(embeds.device, embeds.dtype)
        self.passed += int(mask.sum())
        return embeds, mask

    def token_embeds(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the (B, t, D) embeddings of (B, t) tokens."""
        embeds: torch.Tensor = self._embed(ids)
        return embeds

    def extend(self, batch: Batch, embeds: torch.Tensor, mask: torch.Tensor | None, last: int = 1) -> torch.Tensor:
        """Add tokens to the rows of a batch.

        Args:
            batch: B rows; its cache and counts grow.
            embeds: (B, t, D).
            mask: (B, t) bool, false for padding; None where there is none.
            last: how many of the logits to return.
        Returns:
            (B, last, V) float32.
        """
        ready = self._get() if mask is not None else _ready[self._decoder][self._key()]
        rows, new = embeds.shape[:2]
        if mask is None:
            mask = torch.ones((rows, new), dtype=torch.bool, device=self.device)
            positions = batch.counts[:, None] + torch.arange(new, device=self.device)
        else:
            positions = (batch.counts[:, None] + mask.cumsum(-1) - 1).clamp(min=0)
            batch.padded = batch.padded or not bool(mask.all())
        batch.counts = batch.counts + mask.sum(-1)
        batch.cache.extend(mask)
        batch.cache.last = last
        seen: torch.Tensor | None = batch.cache.mask if batch.padded else None
        if seen is not None and new == 1 and not self.windowed and self.config._attn_implementation == "sdpa":
            # One token sees whatever is not padding: the finished form spares the making of it at every step.
            seen = seen[:, None, None]
        with matmul_attention(self.config, new == 1 and ready.paths.matmul[rows > 1]):
            out = (ready.decoder or self._decoder)(
                inputs_embeds=embeds.to(ready.dtype),
                attention_mask=seen,
                position_ids=positions,
                past_key_values=batch.cache,
                use_cache=True,
            )
        logits: torch.Tensor = (ready.head or self._head)(out.last_hidden_state[:, -last:]).float()
        return logits

    def advance(self, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to every row of a batch.

        Args:
            batch: B rows; its cache and counts grow.
            tokens: (B,).
        Returns:
            (B, V) float32.
        """
        if self._way == "growing":
            return self.extend(batch, self.token_embeds(tokens[:, None]), None)[:, -1]
        ready = _ready[self._decoder][self._key()]
        if self._steps is None or self._steps[0] is not ready:
            self._steps = ready, StaticSteps(partial(self._whole, ready), captured=self._way == "graph")
        return self._steps[1].advance(batch, tokens)

    def _whole(
        self, ready: _Ready, tokens: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        """Run one token of each row over a whole room; see `StaticStep`."""
        with matmul_attention(self.config, ready.paths.matmul[len(tokens) > 1]):
            out = (ready.decoder or self._decoder)(
                inputs_embeds=self._embed(tokens[:, None]).to(ready.dtype),
                attention_mask=seen[:, None, None],
                position_ids=positions[:, None],
                past_key_values=cache,
                use_cache=True,
            )
        logits: torch.Tensor = (ready.head or self._head)(out.last_hidden_state[:, -1]).float()
        return logits

    def begin(self, parts: Sequence[Any], expected: int, rows: int = 0) -> Batch:
        """Return a batch whose rows begin with what was computed before, and room for `rows`; see `KeyValues.place`."""
        layers = int(self.config.num_hidden_layers)
        cache = KeyValues(layers, rows=max(rows, len(parts)), expected=expected, device=self.device)
        cache.place(parts)
        counts = cache.mask.sum(-1)
        return Batch(cache, counts, padded=not bool(cache.mask.all()))

    def _key(self) -> tuple[str, ...]:
        return (self._settings.precision, self._settings.linears, self._settings.decode_attention)


def _patches(prompt: Prompt, start: int, stop: int, image_id: int) -> list[torch.Tensor]:
    """Return the patches whose tokens lie in a stretch of a prompt: (p, Dv) each."""
    if not prompt.features:
        return []
    before = sum(one == image_id for one in prompt.ids[:start])
    inside = sum(one == image_id for one in prompt.ids[start:stop])
    if not inside:
        return []
    return [torch.cat([one.patches for one in prompt.features])[before : before + inside]]


def model_bits(decoder: nn.Module) -> str:
    """Return in what a language model's linears are loaded, for a message."""
    names = {type(one).__name__ for one in decoder.modules() if isinstance(one, nn.Linear)}
    return ", ".join(sorted(names))


def _free_memory() -> float:
    """Return the bytes of memory that are free, as far as this system tells."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return float("inf")
