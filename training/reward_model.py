"""A reward model: a multimodal language model with a head that reads one number off the end of an answer.

Its folder is a model or adapter folder with two files more, `reward_head.safetensors` and `reward.json`; where the head
alone was trained there are only these two, and the model is named in the second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from assistant.errors import DataError, ModelError
from assistant.model.contract import CONTRACT_NAME
from assistant.model.load import folder_fingerprint, load_model, resolve, starter_folder
from assistant.model.loaded import LoadedModel
from assistant.model.tensors import read_tensors
from assistant.model.writing import atomic_folder
from data_recipes.schema import Example
from training.dataset import Tokens, collate, make_pack
from training.packed import PackedModel
from training.pictures import plain, square_pixels
from training.run_folder import write_json
from training.trainable import TrainedModel

HEAD = "reward_head.safetensors"
CARD = "reward.json"
_MEND = "Train it again with python -m training.reward, or restore the folder."


class RewardHead(nn.Module):
    """One number from the state at the end of an answer; 0 for every answer before training.

    Args:
        width: D, of the language model.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return (N,) rewards of (N, D) states."""
        found: Tensor = self.linear(states)
        return found[:, 0]


@dataclass(frozen=True)
class RewardCard:
    """What `reward.json` says."""

    width: int
    """D, of the language model."""
    centre: float
    """Mean reward of the answers that it was trained on, better and worse."""
    spread: float
    """Their standard deviation."""
    pairs: int
    """How many it was trained on."""
    model: str
    """Fingerprint of the model that the head reads."""
    base: str | None = None
    """Where the head alone was trained: that model's folder, or "starter"."""
    held_out: dict[str, Any] = field(default_factory=dict)
    """What `pair_accuracy` found."""
    version: int = 1
    """Of this file's form."""


@dataclass(frozen=True)
class Asked:
    """A question with answers to be scored."""

    images: tuple[Path, ...]
    example: Example
    """Its last message's content is not read."""
    answers: tuple[str, ...]


def width_of(loaded: LoadedModel) -> int:
    """Return D, the width of the language model's states."""
    return int(loaded.llava.config.get_text_config().hidden_size)


def save_reward(trained: TrainedModel, head: RewardHead, out: Path, card: RewardCard, *, whole: bool) -> Path:
    """Write a reward model's folder; it appears complete or not at all.

    Args:
        trained: the model.
        head: its head.
        out: folder to make.
        card: fields `model` and `base` are filled in here.
        whole: whether anything of the model itself was trained; else it is only named.
    Returns:
        `out`.
    """
    from safetensors.torch import save_file

    with atomic_folder(out) as folder:
        source = trained.write_here(folder) if whole else trained.source
        shipped = trained.source.resolve() == starter_folder().resolve()
        base = None if whole else "starter" if shipped else str(trained.source.resolve())
        save_file({name: one.detach().cpu().contiguous() for name, one in head.state_dict().items()}, folder / HEAD)
        write_json(folder / CARD, asdict(replace(card, model=folder_fingerprint(source), base=base)))
    return out


class RewardModel:
    """Scores answers.

    Args:
        loaded: the model.
        head: reads its states.
        card: what is known of it.
        bf16: compute in bfloat16.
    """

    def __init__(self, loaded: LoadedModel, head: RewardHead, card: RewardCard, *, bf16: bool) -> None:
        self.loaded, self.card = loaded, card
        self.head = head.to(loaded.device).eval().requires_grad_(False)
        self.tokens = Tokens(loaded.tokenizer, loaded.contract.image_tokens)
        self.packed = PackedModel(loaded, self.tokens.image_id, bf16=bf16)

    @classmethod
    def open(
        cls, folder: Path | str, *, device: str = "auto", quantization: Literal["nf4", "int8", "none"] = "none"
    ) -> RewardModel:
        """Open a folder that `training.reward` wrote.

        Args:
            folder: such as runs/reward/model.
            device: as in `load_model`.
            quantization: of the language model.
        Returns:
            The model, ready to score.
        Raises:
            ModelError: it is no such folder, or its parts do not fit each other.
        """
        path = Path(folder)
        card = read_card(path)
        source = path if (path / CONTRACT_NAME).is_file() else _base(card, path)
        found = folder_fingerprint(source)
        if found != card.model:
            raise ModelError(f"{path / CARD} belongs to model {card.model}, but {source} is {found}. {_MEND}")
        loaded = load_model(source, device=device, quantization=quantization)
        head = RewardHead(card.width)
        state = read_tensors(path / HEAD)
        wanted = {name: tuple(one.shape) for name, one in head.state_dict().items()}
        given = {name: tuple(one.shape) for name, one in state.items()}
        if wanted != given or card.width != width_of(loaded):
            raise ModelError(f"{path / HEAD} holds {given}, and the language model is {width_of(loaded)} wide. {_MEND}")
        head.load_state_dict(state)
        return cls(loaded, head, card, bf16=loaded.device != "cpu")

    @torch.no_grad()
    def score(self, asked: Sequence[Asked], *, batch_size: int = 8) -> list[list[float]]:
        """Score answers; all answers to a question share one pass over its pictures.

        Args:
            asked: questions with their answers.
            batch_size: questions at a time.
        Returns:
            A list a question, a reward an answer: any number, higher is better, and only differences between answers
            to one question were learned.
        Raises:
            DataError: an answer with its question is longer than the language model can read.
        """
        scores: list[list[float]] = []
        for start in range(0, len(asked), batch_size):
            part = asked[start : start + batch_size]
            values = iter(self._rewards(part).tolist())
            scores += [[next(values) for _ in one.answers] for one in part]
        return scores

    def chances(self, asked: Sequence[Asked], *, batch_size: int = 8) -> list[list[float]]:
        """Score answers from 0 to 1: the chance that each would be preferred to an average one of the training."""
        return [[self.chance(one) for one in row] for row in self.score(asked, batch_size=batch_size)]

    def chance(self, reward: float) -> float:
        """Turn a reward into the chance that its answer would be preferred to an average one of the training."""
        return 1 / (1 + math.exp(min(700.0, self.card.centre - reward)))

    def _rewards(self, part: Sequence[Asked]) -> Tensor:
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        packs = []
        for one in part:
            branches = [self.tokens.answered(one.example, answer) for answer in one.answers]
            longest = max(len(each.prompt) + len(each.answer) for each in branches)
            if longest > context:
                raise DataError(
                    f"{one.example.id!r} takes {longest} tokens with its longest answer, and the reward model reads "
                    f"{context}. Shorten it, or use a model with a longer context."
                )
            packs.append(make_pack(branches, self.tokens.image_id, 1 << 30))
        size = self.loaded.contract.picture_size
        pixels = [torch.from_numpy(square_pixels(path, size)) for one in part for path in one.images]
        images = plain(torch.stack(pixels), size) if pixels else torch.zeros(0, 3, size, size)
        batch = collate(packs, int(self.tokens.tokenizer.pad_token_id or 0))
        found: Tensor = self.head(self.packed.answer_states(batch, images))
        return found


def read_card(folder: Path) -> RewardCard:
    """Read `reward.json`.

    Args:
        folder: of a reward model.
    Returns:
        What it says.
    Raises:
        ModelError: it is missing or broken.
    """
    path = folder / CARD
    if not path.is_file():
        raise ModelError(f"{folder} is no reward model: it has no {CARD}. Give what python -m training.reward wrote.")
    try:
        return RewardCard(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is broken ({error}). {_MEND}") from error


def _base(card: RewardCard, folder: Path) -> Path:
    named = card.base or ""
    if named == "starter":
        return resolve("starter")
    for candidate in (Path(named), folder / named, folder.parent / Path(named).name):
        if named and (candidate / CONTRACT_NAME).is_file():
            return candidate
    raise ModelError(
        f"{folder} is a head on the model {named!r}, and no model folder is there. Put it there, or set base in "
        f"{folder / CARD}."
    )
