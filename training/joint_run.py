"""One run of `training.joint`: the search, what the model makes of what is found, and the folder it ends in."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import DataError
from assistant.evidence import Evidence
from assistant.model.load import load_model
from assistant.prompts import evidence_lines, question_text
from data_recipes.schema import Example, read_examples
from retrieval.corpus import read_corpora
from retrieval.embed import indexed_text
from retrieval.encoder import ModelEncoder
from training.dataset import Tokens, Turned, collate, make_pack
from training.joint_loss import distill_loss, marginal_loss
from training.joint_settings import JointSettings
from training.loop import Loop
from training.packed import PackedModel, answer_numbers
from training.run_folder import RunFolder, write_json
from training.tower_run import TrainableTower, write_tower
from training.trainable import TrainedModel

logger = logging.getLogger(__name__)

_NEXT = 16
"""Passages ranked behind those shown, from which explored ones are drawn."""


@dataclass(frozen=True)
class Asked:
    """One example as the search and the model meet it."""

    example: Example
    images: tuple[Path, ...]
    query: str
    documents: frozenset[str]
    """Documents that hold the answer, where they are known."""


class Both(nn.Module):
    """What trains: the language model and the text tower."""

    def __init__(self, language: nn.Module, tower: TrainableTower) -> None:
        super().__init__()
        self.language, self.tower = language, tower


class JointRun:
    """One run.

    Args:
        settings: of the run.
        folder: of the run.
    Raises:
        DataError: no example can be used, or one does not fit.
    """

    def __init__(self, settings: JointSettings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        self.model = TrainedModel(settings.model, settings.train, settings.lora, last_layers=settings.last_layers)
        self.loaded = self.model.loaded
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.packed = PackedModel(self.loaded, self.tokens.image_id, bf16=settings.bf16)
        self.passages = read_corpora(settings.passages).passages
        self.evidence = [
            Evidence(one.id, one.kind, one.title, one.text, one.source, one.licence, 0.0) for one in self.passages
        ]
        self.asked = self._read(settings.data)
        self.held_out = self._read(settings.held_out)[: settings.measured] if settings.held_out else []
        self.pixels, self.joint = self._pictures()
        self.network = Both(self.model.network, TrainableTower(self.loaded.text, self.loaded.text.context_length))
        if not settings.tower_lr:
            self.network.tower.requires_grad_(False)
        # Dropout would blur which passage makes the answer likelier.
        self.network.eval()
        self.vectors = torch.zeros(0)

    def _read(self, paths: Sequence[Path]) -> list[Asked]:
        found, left = [], 0
        for path in paths:
            for example in read_examples(path):
                answer = example.messages[-1]["content"]
                if example.task == "report" or len(self.tokens.encode(answer)) > self.settings.longest_answer:
                    left += 1
                    continue
                question = example.messages[-2]["content"].splitlines()[-1]
                query = " ".join(part for part in (question, example.modality) if part)
                documents = frozenset((example.truth or {}).get("documents", ()))
                found.append(Asked(example, tuple(example.image_paths(path.parent)), query, documents))
        if not found:
            raise DataError(
                f"{', '.join(map(str, paths))} holds no question with an answer of at most "
                f"{self.settings.longest_answer} tokens; raise `longest_answer`, or name another file."
            )
        if left:
            logger.info("left out %d reports and long answers", left)
        return found

    def _pictures(self) -> tuple[dict[Path, Tensor], dict[Path, Tensor]]:
        """Return what the connector reads of each picture, (1, P, D), and its vector, (E,); both never change."""
        from assistant.imaging.load import load_picture
        from training.pictures import build_store, plain

        paths = sorted({path for one in [*self.asked, *self.held_out] for path in one.images})
        if not paths:
            return {}, {}
        size = self.loaded.contract.picture_size
        store = build_store(paths, size, self.settings.out / "cache")
        encoder, seen, joint = ModelEncoder(self.loaded), {}, {}
        for place, path in enumerate(paths):
            pixels = plain(torch.from_numpy(np.array(store[place : place + 1])), size)
            seen[path] = self.packed.features(pixels)
            joint[path] = torch.from_numpy(encoder.embed_images([load_picture(path)])[0])
        return seen, joint

    def queries(self, asked: Sequence[Asked]) -> Tensor:
        """Return unit vectors (B, E) of questions with their last pictures."""
        found = self.network.tower([one.query for one in asked])
        shown = [self.joint[one.images[-1]] if one.images else torch.zeros(found.shape[1]) for one in asked]
        return F.normalize(found + self.settings.image_weight * torch.stack(shown), dim=-1)

    def refresh(self) -> None:
        """Embed all passages with the tower as it is."""
        tower = self.network.tower.give_back()
        self.vectors = torch.from_numpy(tower.embed([indexed_text(one) for one in self.passages]))

    def found(self, queries: Tensor, generator: torch.Generator | None) -> list[list[int]]:
        """Return the places of the passages to show for each question; without a generator none is explored.

        Args:
            queries: (B, E).
            generator: source of chance.
        Returns:
            B lists of `shown` places each.
        """
        shown = min(self.settings.shown, len(self.passages))
        explored = self.settings.explored if generator is not None else 0
        ranked = (queries.detach() @ self.vectors.T).topk(min(shown + _NEXT, len(self.passages)), dim=1).indices
        result = []
        for row in ranked.tolist():
            kept, rest = row[: shown - explored], row[shown - explored :]
            order = torch.randperm(len(rest), generator=generator)[:explored].tolist() if explored else []
            result.append([*kept, *(rest[place] for place in order)][:shown])
        return result

    def likelihoods(self, asked: Sequence[Asked], places: Sequence[Sequence[int]]) -> Tensor:
        """Return the log-likelihood of each true answer with each passage, (B, K), in nats."""
        packs = []
        for one, found in zip(asked, places, strict=True):
            turned = [self._with(one.example, self.evidence[place]) for place in found]
            pack = make_pack(turned, self.tokens.image_id, self.settings.longest)
            if int(pack.branch.max()) < len(found):
                raise DataError(
                    f"example {one.example.id!r} with {len(found)} passages takes more than `longest` "
                    f"{self.settings.longest} tokens. Raise it, or lower `shown` or `evidence_words`."
                )
            packs.append(pack)
        batch = collate(packs, int(self.tokens.tokenizer.pad_token_id or 0))
        seen = [self.pixels[path] for one in asked for path in one.images]
        size = self.loaded.contract.picture_size
        images = torch.cat(seen) if seen else torch.zeros(0, 3, size, size)
        logits, targets = self.packed.answer_logits(batch, images), self.packed.targets(batch)
        each = -F.cross_entropy(logits, targets, reduction="none")
        sums = torch.zeros(sum(map(len, places)), device=each.device)
        return sums.index_add(0, answer_numbers(batch).to(each.device), each).view(len(asked), -1).cpu()

    def _with(self, example: Example, piece: Evidence) -> Turned:
        """Return an example's last question with one passage before it."""
        lines = evidence_lines(
            [piece], budget=self.settings.evidence_words, count_tokens=lambda text: len(text.split())
        )
        *before, asked, answer = example.messages
        told = {**asked, "content": question_text(asked["content"], evidence=lines)}
        return self.tokens.turns(replace(example, messages=[*before, told, answer]))[-1]

    def step(self, loop: Loop) -> dict[str, float]:
        """Take one step; return what to report."""
        settings = self.settings
        order = torch.randperm(len(self.asked), generator=loop.generator)[: settings.questions]
        asked = [self.asked[place] for place in order.tolist()]
        queries = self.queries(asked)
        places = self.found(queries, loop.generator)
        texts = [indexed_text(self.passages[place]) for found in places for place in found]
        near = self.network.tower(texts).view(len(asked), -1, queries.shape[1])
        search = (torch.einsum("be,bke->bk", queries, near) / settings.temperature).log_softmax(dim=1)
        answers = self.likelihoods(asked, places)
        loss = (
            marginal_loss(search, answers)
            if settings.loss == "marginal"
            else distill_loss(search, answers, settings.beta)
        )
        loop.update(loss)
        best = (search.detach().exp() * answers.detach().softmax(dim=1)).sum(dim=1).mean()
        return {"loss": loss.item(), "agreement": best.item()}

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return what the search finds for held-out questions, and how likely their answers are with it.

        Returns:
            `likelihood`: nats an answer, marginal over the passages shown; `random`: the same with passages at random;
            `R@1` and `R@k` where documents are known.
        """
        self.refresh()
        generator = torch.Generator().manual_seed(self.settings.seed)
        told: dict[str, list[float]] = {}
        for one in self.held_out:
            queries = self.queries([one])
            places = self.found(queries, None)
            search = (queries @ self.vectors[places[0]].T / self.settings.temperature).log_softmax(dim=1)
            told.setdefault("likelihood", []).append(-marginal_loss(search, self.likelihoods([one], places)).item())
            drawn = torch.randperm(len(self.passages), generator=generator)[: len(places[0])].tolist()
            even = torch.full((1, len(drawn)), -float(np.log(len(drawn))))
            told.setdefault("random", []).append(-marginal_loss(even, self.likelihoods([one], [drawn])).item())
            if one.documents:
                right = [self.passages[place].document in one.documents for place in places[0]]
                told.setdefault("R@1", []).append(float(right[0]))
                told.setdefault(f"R@{len(right)}", []).append(float(any(right)))
        return {name: round(sum(values) / len(values), 4) for name, values in told.items()}

    def run(self, resume: bool) -> Path:
        """Train, measure, and write the model's folder."""
        settings = self.settings
        before = self._before(resume)
        loop = Loop(
            self.network,
            settings.optimizer,
            steps=settings.steps,
            seed=settings.seed,
            slow={"tower.": settings.tower_lr},
        )
        if resume:
            loop.restore(self.folder)
        self.refresh()
        while loop.step_number < settings.steps:
            told = self.step(loop)
            if loop.step_number % settings.refresh_every == 0:
                self.refresh()
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                self.folder.log(loop.step_number, **told, gradient=loop.norm, lr=loop.learning_rate())
                loop.save(self.folder)
        after = self.measure() if self.held_out else {}
        write_json(settings.out / "joint.json", {"before": before, "after": after})
        (settings.out / "table.md").write_text(table(before, after), encoding="utf-8")
        return self._write()

    def _before(self, resume: bool) -> dict[str, Any]:
        path = self.settings.out / "before.json"
        if resume and path.is_file():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        before = self.measure() if self.held_out else {}
        write_json(path, before)
        return before

    def _write(self) -> Path:
        """Write the language model, its adapter merged, and then the folder with the new text tower."""
        out, tower = self.settings.out, self.network.tower.give_back()
        parts = [self.model.write(out / "language")]
        if self.settings.lora is not None:
            from assistant.model.merge import merge_adapter

            parts.append(merge_adapter(parts[0], out / "merged"))
        write_tower(load_model(parts[-1], device="cpu", quantization="none"), tower, out / "model")
        for part in parts:
            shutil.rmtree(part)
        return out / "model"


def table(before: dict[str, float], after: dict[str, float]) -> str:
    """Return what was measured before and after as a Markdown table; without held-out examples only its head."""
    lines = [f"| held out | {' | '.join(before)} |", "|" + "---|" * (len(before) + 1)]
    for name, found in (("before", before), ("after", after)):
        if found:
            lines.append(f"| {name} | {' | '.join(f'{found[key]:.3f}' for key in before)} |")
    return "\n".join(lines) + "\n"


def run_joint(settings: JointSettings, resume: bool = False) -> Path:
    """Run the stage and return the model's folder."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder = RunFolder(settings.out, settings, inputs=[*settings.data, *settings.held_out], resume=resume)
    return JointRun(settings, folder).run(resume)
