"""One run of `training.tower`: losses, before and after, and the model folder it ends in."""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import ConfigError, TrainingError
from assistant.model.load import adapter_base, load_model, resolve
from assistant.model.loaded import LoadedModel
from assistant.model.text import TextTower
from training.loop import Loop
from training.run_folder import RunFolder, write_json
from training.student import matching_loss
from training.tower_data import Pictured, hard_negatives, read_pictures, read_questions
from training.tower_settings import TowerSettings

logger = logging.getLogger(__name__)

DEPTHS = (1, 5, 10)


class TrainableTower(nn.Module):
    """A text tower whose weights train.

    Args:
        tower: of the model; it shares its weights with this module.
        tokens: texts are cut to so many.
        freeze_layers: first layers that stay as they are.
    Raises:
        TrainingError: the tower has fewer layers.
    """

    def __init__(self, tower: TextTower, tokens: int, freeze_layers: int = 0) -> None:
        super().__init__()
        self.bert: Any = tower.bert
        self.tower, self.tokens = tower, min(tokens, tower.context_length)
        self.head = nn.ParameterList([nn.Parameter(one.clone()) for one in tower.head])
        layers = self.bert.encoder.layer
        if freeze_layers > len(layers):
            raise TrainingError(f"freeze_layers is {freeze_layers}, but the text tower has {len(layers)} layers.")
        self.bert.requires_grad_(True)
        for part in [self.bert.embeddings, *layers[:freeze_layers]] if freeze_layers else []:
            part.requires_grad_(False)

    def forward(self, texts: list[str]) -> Tensor:
        """Return unit vectors (N, E)."""
        ids = self.tower.tokenizer(texts, padding=True, truncation=True, max_length=self.tokens, return_tensors="pt")
        ids = ids.to(self.head[0].device)
        hidden = self.bert(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state[:, 0]
        for number, weight in enumerate(self.head):
            hidden = F.linear(F.gelu(hidden) if number else hidden, weight)
        return F.normalize(hidden.float(), dim=-1)

    def give_back(self) -> TextTower:
        """Return the tower with the weights as they are now."""
        self.tower.head = [one.detach().clone() for one in self.head]
        return self.tower


class TowerRun:
    """One run.

    Args:
        settings: of the run.
        folder: of the run.
    """

    def __init__(self, settings: TowerSettings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        source = resolve(settings.model)
        if adapter_base(source) is not None:
            raise ConfigError(f"{source} is an adapter; merge it first: python -m training.merge {source} --out DIR")
        self.loaded: LoadedModel = load_model(settings.model, device="cpu", quantization="none")
        self.questions = read_questions(settings.questions)
        self.negatives = hard_negatives(self.questions, settings.hard_negatives, least_gap=settings.least_gap)
        self.pictured = read_pictures(settings.pictures, settings.split)
        self.joint = self._joint(self.pictured)
        self.held_out = read_questions(settings.held_out)
        self.held_pictured = read_pictures(settings.held_out_pictures, settings.held_out_split)
        self.held_joint = self._joint(self.held_pictured)
        self.network = TrainableTower(self.loaded.text, settings.tokens, settings.freeze_layers)

    def _joint(self, pictured: Pictured) -> Tensor:
        """Return the vectors of pictures, (N, E); their tower never changes."""
        from assistant.imaging.load import load_picture
        from retrieval.encoder import ModelEncoder

        encoder, parts = ModelEncoder(self.loaded), []
        for start in range(0, len(pictured), 32):
            parts.append(encoder.embed_images([load_picture(path) for path in pictured.paths[start : start + 32]]))
        return torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, self.loaded.text.dimension)

    def measure(self) -> dict[str, dict[str, float]]:
        """Return recall and MRR of each direction on what was held out, with the tower as it is."""
        self.network.eval()
        tower, pool = self.network.give_back(), self.settings.pool
        result = {}
        if len(self.held_out):
            asked = tower.embed(list(self.held_out.asked[:pool]))
            result["question → passage"] = recall(asked, tower.embed(list(self.held_out.passages[:pool])),
                                                  self.held_out.passages[:pool])  # fmt: skip
        if len(self.held_pictured):
            texts, pictures = self.held_pictured.texts[:pool], self.held_joint[:pool].numpy()
            written = tower.embed(list(texts))
            result["picture → text"] = recall(pictures, written, texts)
            result["text → picture"] = recall(written, pictures, texts)
        self.network.train()
        return result

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted losses of one batch."""
        settings, scale = self.settings, torch.tensor(1 / self.settings.temperature)
        parts = {}
        with torch.autocast("cpu", torch.bfloat16) if settings.bf16 else nullcontext():
            if len(self.questions):
                parts["questions"] = settings.question_weight * self._question_loss(generator, scale)
            if len(self.pictured) and settings.picture_weight:
                chosen = _draw(len(self.pictured), settings.batch_size, generator)
                texts = [self.pictured.texts[place] for place in chosen]
                same = torch.tensor([[one == other for other in texts] for one in texts])
                found = matching_loss(self.joint[chosen], self.network(texts), same, scale)
                parts["pictures"] = settings.picture_weight * found
        return parts

    def _question_loss(self, generator: torch.Generator, scale: Tensor) -> Tensor:
        chosen = _draw(len(self.questions), self.settings.batch_size, generator)
        # A hard negative stands in every question's row: for the others it is one more passage of the batch.
        rows = [*chosen, *(row for place in chosen for row in self.negatives[place])]
        texts = [self.questions.passages[row] for row in rows]
        asked = self.network([self.questions.asked[place] for place in chosen])
        logits = scale * asked @ self.network(texts).T
        same = torch.tensor([[texts[place] == one for one in texts] for place in range(len(chosen))])
        wanted = torch.arange(len(chosen))
        # The right passage may stand in the batch twice; the second is no wrong answer.
        same[wanted, wanted] = False
        return F.cross_entropy(logits.masked_fill(same, -torch.inf), wanted)

    def run(self, resume: bool) -> Path:
        """Train, measure, and write the model's folder."""
        settings = self.settings
        before = self._before(resume)
        loop = Loop(self.network, settings.optimizer, steps=settings.steps, seed=settings.seed)
        if resume:
            loop.restore(self.folder)
        self.network.train()
        while loop.step_number < settings.steps:
            parts = self.losses(loop.generator)
            loop.update(torch.stack(list(parts.values())).sum())
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                told = {name: one.item() for name, one in parts.items()}
                self.folder.log(loop.step_number, **told, lr=loop.learning_rate())
                loop.save(self.folder)
        after = self.measure()
        write_json(settings.out / "retrieval.json", {"before": before, "after": after})
        (settings.out / "table.md").write_text(table(before, after), encoding="utf-8")
        logger.info("\n%s", table(before, after))
        return write_tower(self.loaded, self.network.eval().give_back(), settings.out / "model")

    def _before(self, resume: bool) -> dict[str, dict[str, float]]:
        path = self.settings.out / "before.json"
        if resume and path.is_file():
            found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
            return found
        before = self.measure()
        write_json(path, before)
        return before


def _draw(count: int, size: int, generator: torch.Generator) -> list[int]:
    found: list[int] = torch.randperm(count, generator=generator)[:size].tolist()
    return found


def recall(asked: np.ndarray, given: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """Return recall at `DEPTHS` and MRR where row i of `asked` seeks row i of `given`, or one that says the same.

    Args:
        asked: (N, E) unit vectors.
        given: (N, E) unit vectors.
        names: what each row of `given` says: rows of equal words count as one.
    Returns:
        "R@1", … and "MRR".
    """
    cosines = asked @ given.T
    first: dict[str, int] = {}
    numbers = np.array([first.setdefault(name, place) for place, name in enumerate(names)])
    right = np.array([cosines[row, numbers == numbers[row]].max() for row in range(len(cosines))])
    ranks = 1 + (cosines > right[:, None]).sum(axis=1)
    return {
        **{f"R@{depth}": round(float(np.mean(ranks <= depth)), 4) for depth in DEPTHS},
        "MRR": round(float(np.mean(1 / ranks)), 4),
    }


def table(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> str:
    """Return recall before and after as a Markdown table."""
    names = [f"R@{depth}" for depth in DEPTHS] + ["MRR"]
    lines = [f"| held out | | {' | '.join(names)} |", "|" + "---|" * (len(names) + 2)]
    for direction in before:
        for when, found in (("before", before), ("after", after)):
            lines.append(f"| {direction} | {when} | {' | '.join(f'{found[direction][name]:.3f}' for name in names)} |")
    return "\n".join(lines) + "\n"


def write_tower(loaded: LoadedModel, tower: TextTower, out: Path) -> Path:
    """Write a model folder with another text tower; files that stay the same are linked where that can be.

    Args:
        loaded: the model as it was opened.
        tower: the tuned one.
        out: folder to make.
    Returns:
        `out`.
    """
    from safetensors.torch import save_file

    from assistant.model.naming import made_name
    from assistant.model.tensors import read_tensors
    from assistant.model.writing import atomic_folder, describe, today

    with atomic_folder(out) as folder:
        shutil.copytree(loaded.folder, folder, dirs_exist_ok=True, copy_function=_link, ignore=_IGNORED)
        for name in ("text_tower/model.safetensors", "projection.safetensors"):
            old = read_tensors(loaded.folder / name)
            state = tower.bert.state_dict()
            heads = {f"text.{number}.weight": weight for number, weight in enumerate(tower.head)}
            new = {key: {**state, **heads}.get(key, value).to(value.dtype).contiguous() for key, value in old.items()}
            (folder / name).unlink()
            save_file(new, folder / name, metadata={"format": "pt"})
        measured = describe(loaded.llava, loaded.processor, folder)
        (folder / "contract.json").unlink()
        name = made_name(loaded.contract.name, out)
        loaded.contract.replace(name=name, created=today(), **measured).write(folder)
    return out


# An index of the old tower does not fit the new one.
_IGNORED = shutil.ignore_patterns("index", "examples")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def run_tower(settings: TowerSettings, resume: bool = False) -> Path:
    """Run the stage and return the model's folder."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    inputs = [*settings.questions, *settings.held_out, *settings.pictures, *settings.held_out_pictures]
    folder = RunFolder(settings.out, settings, inputs=inputs, resume=resume)
    return TowerRun(settings, folder).run(resume)
