"""A model that reads packs: what the connector reads of the frozen tower, and logits where answers stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from assistant.model.loaded import LoadedModel
from assistant.model.parts import selected
from assistant.model.tiles import see
from training.dataset import IGNORED, PackedBatch
from training.joined import NAME, lay_out, use_rows
from training.lean import leave, take


class PackedModel:
    """Runs connector and language model over batches of packs.

    Args:
        loaded: the model; its weights train or not as they are set.
        image_id: the picture token.
        bf16: compute in bfloat16.
        dropout: on the connector's output.
        checkpoint: compute layers a second time in the backward pass rather than keep what is inside them.
        rows: put packs end to end in one row rather than pad them; not for a model that also draws answers.
        lean: with rows, let layers compute in fewer passes where they can (`training.lean`).
    """

    def __init__(
        self,
        loaded: LoadedModel,
        image_id: int,
        *,
        bf16: bool,
        dropout: float = 0.0,
        checkpoint: bool = False,
        rows: bool = True,
        lean: bool = True,
    ) -> None:
        self.loaded, self.image_id, self.bf16, self.dropout = loaded, image_id, bf16, dropout
        self.checkpoint = checkpoint
        if checkpoint:
            for layer in self._layers():
                layer.gradient_checkpointing = True
                layer._gradient_checkpointing_func = partial(torch_checkpoint, use_reentrant=False)
        self._lean = False
        if rows:
            model = loaded.llava.model.language_model
            use_rows(model.config)
            self._lean = lean and model.config._attn_implementation == NAME and take(model)
        processor = loaded.processor.image_processor
        self.mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        self.std = torch.tensor(processor.image_std).view(1, 3, 1, 1)

    def autocast(self) -> torch.autocast:
        """Return the context that products are computed in."""
        return torch.autocast(torch.device(self.loaded.device).type, torch.bfloat16, enabled=self.bf16)

    def compile(self) -> None:
        """Compile the language model's layers; on a CPU also attend by plain products, which then fuse with the mask.

        Layers are compiled in place, so names of weights and what is written stay the same.
        """
        model = self.loaded.llava.model.language_model
        leave(model)
        self._lean = False
        if torch.device(self.loaded.device).type == "cpu":
            model.config._attn_implementation = "eager"
        elif model.config._attn_implementation == NAME:
            model.config._attn_implementation = "sdpa"  # rows of other lengths would be compiled anew
        for layer in model.layers:
            layer.compile(dynamic=True)

    def features(self, images: Tensor) -> Tensor:
        """Return what the connector reads of the frozen tower.

        Args:
            images: float (N, 3, S, S), 0 to 1, S being the contract's `picture_size`; what this function gave for them
                is returned as it is.
        Returns:
            (N, P, D); D counts every view of a model with tiles.
        """
        if images.ndim == 3:
            return images
        llava = self.loaded.llava

        def tower(views: Tensor) -> Tensor:
            pixels = ((views - self.mean) / self.std).to(self.loaded.device)
            return selected(llava.model.vision_tower(pixels, output_hidden_states=True).hidden_states, llava.config)

        with torch.no_grad():
            return see(images, self.loaded.contract.tiles, tower)

    def answer_logits(self, batch: PackedBatch, images: Tensor) -> Tensor:
        """Return the logits before every token of an answer.

        Args:
            batch: packs.
            images: their pictures, float (N, 3, S, S), 0 to 1, in the order of their tokens; or the pictures' features.
        Returns:
            float32 (number of answers' tokens, vocabulary), row by row; `targets` gives the tokens themselves.
        """
        with self.autocast():
            # Only answers have a loss, so only their places go through the vocabulary.
            logits: Tensor = self.loaded.llava.lm_head(self._hidden(batch, images, F.pad(_wanted(batch), (0, 1))))
        return logits.float()

    def answer_states(self, batch: PackedBatch, images: Tensor) -> Tensor:
        """Return what the language model holds in mind at the end of every answer.

        Args:
            batch: packs.
            images: their pictures or features, as in `answer_logits`.
        Returns:
            float32 (number of answers, D), row by row: the last layer's state, normed, at the answer's last token.
        """
        answer = batch.labels != IGNORED
        last = answer & ~F.pad(answer, (0, 1))[:, 1:]
        with self.autocast():
            hidden = self._hidden(batch, images, last)
        return hidden.float()

    def _hidden(self, batch: PackedBatch, images: Tensor, wanted: Tensor) -> Tensor:
        """Run connector and language model; the states where `wanted`, bool (B, L), row by row, (A, D)."""
        llava, device = self.loaded.llava, self.loaded.device
        embeds = llava.get_input_embeddings()(batch.ids.to(device))
        if len(images):
            projector, seen = llava.model.multi_modal_projector, self.features(images)
            seen = projector(seen if self.bf16 else seen.to(next(projector.parameters()).dtype)).flatten(0, 1)
            seen = F.dropout(seen, self.dropout)
            # A drawn answer may hold the picture token as a word; there it is no picture's place.
            places = ((batch.ids == self.image_id) & (batch.labels == IGNORED)).to(device)
            embeds = embeds.masked_scatter(places[..., None], seen.to(embeds.dtype))
        with self._checkpointing():
            if llava.model.language_model.config._attn_implementation == NAME:
                return self._in_a_row(batch, embeds, wanted)
            mask = torch.zeros(batch.mask.shape, dtype=embeds.dtype, device=device)
            mask = mask.masked_fill(~batch.mask.to(device), torch.finfo(embeds.dtype).min)
            return self._states(embeds, mask, batch.positions.to(device))[wanted.to(device)]

    def _in_a_row(self, batch: PackedBatch, embeds: Tensor, wanted: Tensor) -> Tensor:
        """Run the language model over packs end to end; (A, D)."""
        real = batch.branch >= 0
        places = real.to(embeds.device)
        positions = batch.positions.to(embeds.device)[places]
        row = lay_out(batch.branch, embeds.device, wanted if self._lean else None)
        states = self._states(embeds[places][None], row, positions[None])[0]
        return states if self._lean else states[wanted[real].to(embeds.device)]

    def _states(self, embeds: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.loaded.llava.model.language_model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        return states

    def _layers(self) -> list[Any]:
        return list(self.loaded.llava.model.language_model.layers)

    @contextmanager
    def _checkpointing(self) -> Iterator[None]:
        """Switch checkpointing on for one pass: layers do so in training mode only, and then answers keep no cache."""
        layers = self._layers() if self.checkpoint else []
        before = [layer.training for layer in layers]
        for layer in layers:
            # Not layer.train(): what is inside, such as dropout, stays in its own mode.
            layer.training = True
        yield
        for layer, mode in zip(layers, before, strict=True):
            layer.training = mode

    def targets(self, batch: PackedBatch) -> Tensor:
        """Return the answers' tokens, (number of them,), in the order of `answer_logits`."""
        return batch.labels[:, 1:][_wanted(batch)].to(self.loaded.device)


def answer_numbers(batch: PackedBatch) -> Tensor:
    """Return for each token of `PackedModel.targets` which answer it belongs to, counted from 0 over the batch."""
    wanted = _wanted(batch)
    starts = wanted & ~F.pad(wanted, (1, 0))[:, :-1]
    return starts.flatten().cumsum(0).view(wanted.shape)[wanted] - 1


def _wanted(batch: PackedBatch) -> Tensor:
    return batch.labels[:, 1:] != IGNORED
