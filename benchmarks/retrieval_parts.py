"""What the retrieval measurements are made of: vectors, passages, encoders, questions."""

from __future__ import annotations

import json
import random
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.encoder import FolderEncoder
from retrieval.passage import Passage

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture
    from assistant.model.text import TextTower

_CENTRES = 1000
_WORDS = (
    "effusion consolidation nodule fracture oedema atelectasis haemorrhage infarct mass cyst lesion opacity lung liver "
    "kidney brain spleen aorta heart pleura left right upper lower small large acute chronic normal enlarged"
)


def clustered(count: int, width: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, E) unit vectors around a thousand centres, and (Q, E) queries near some of them; float32."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(_CENTRES, width)).astype(np.float32)
    vectors = rng.standard_normal(size=(count, width), dtype=np.float32)
    vectors *= np.float32(0.7)
    vectors += centres[rng.integers(0, _CENTRES, count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = vectors[rng.choice(count, queries, replace=False)]
    asked = asked + np.float32(0.02) * rng.standard_normal(size=asked.shape, dtype=np.float32)
    return vectors, asked / np.linalg.norm(asked, axis=1, keepdims=True)


def passage_lines(count: int) -> Iterator[Passage]:
    """Give made-up passages of sixty words, each another."""
    rng, words = random.Random(0), _WORDS.split()
    for number in range(count):
        text = " ".join(rng.choice(words) for _ in range(59))
        yield Passage(f"p{number}", "passage", f"Passage {number}", f"{text} {number}.", "made up", "CC0-1.0")


class WordEncoder:
    """Vectors of hashed words, so that embedding costs little beside what is measured."""

    def __init__(self, like: FolderEncoder | None, width: int = 256) -> None:
        self.fingerprint = like.fingerprint if like is not None else "0123456789abcdef"
        self._width = width

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """Return (N, E) float32 of length 1."""
        vectors = np.full((len(texts), self._width), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            hashes = np.fromiter((zlib.crc32(word.encode()) for word in text.split()), dtype=np.int64)
            np.add.at(vectors[row], hashes % self._width, np.where(hashes & 4096, 1.0, -1.0).astype(np.float32))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def embed_images(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Refuse: these corpora hold no pictures."""
        raise NotImplementedError("The measurements embed no pictures.")


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Watch the memory that this process holds (Linux), fifty times a second; files that are mapped do not count.

    Yields:
        A list of one number: the peak so far, in kB.
    """
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            held = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            peak[0] = max(peak[0], int(held.split()[1]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def base_tower() -> TextTower:
    """Return a text tower of BERT-base's size with random weights and the starter's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from assistant.model.load import resolve
    from assistant.model.text import TextTower

    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("starter") / "text_tower")
    torch.manual_seed(0)
    bert = BertModel(BertConfig(vocab_size=len(tokenizer)), add_pooling_layer=False)
    return TextTower(bert, tokenizer, [torch.randn(512, 768) / 28], 256)


def question_times(folder: Path, count: int = 200) -> dict[str, Any]:
    """Ask an index hybrid questions made of its own titles.

    Args:
        folder: an index made with the starter.
        count: how many questions.
    Returns:
        Median and 95th percentile of the time of a question, by the clock and of the CPU, after ten that do not count.
    """
    import time

    from retrieval.retriever import IndexRetriever

    retriever = IndexRetriever.open(folder, FolderEncoder("starter"))
    rows = np.random.default_rng(0).permutation(len(retriever.index))[: count + 10]
    asked = [f"What are the signs of {retriever.index.record(int(row)).title}?" for row in rows]
    clock, cpu = [], []
    for question in asked:
        started, used = time.perf_counter(), time.process_time()
        retriever.search(question, k=5)
        clock.append(1000 * (time.perf_counter() - started))
        cpu.append(1000 * (time.process_time() - used))
    return {
        "records": len(retriever.index),
        **{
            f"median ms, {name}": round(float(np.median(times[10:])), 1)
            for name, times in (("clock", clock), ("CPU", cpu))
        },
        **{
            f"p95 ms, {name}": round(float(np.percentile(times[10:], 95)), 1)
            for name, times in (("clock", clock), ("CPU", cpu))
        },
    }


def medquad_table(corpus: Path, folder: Path, count: int) -> dict[str, Any]:
    """Measure question → own passage, with every question taken out of the text that is indexed.

    Args:
        corpus: JSONL of passages with `question`, such as `data_recipes.build medquad` or the XML files give.
        folder: for the index; one that is there is used.
        count: how many questions are asked; half as many others choose the fusion.
    Returns:
        R@1, R@5 and MRR of each list and of both joined.
    """
    from retrieval.build import main, tune
    from retrieval.evaluate import MODES, read_pairs, recall_at_k
    from retrieval.retriever import IndexRetriever

    folder.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    questions = {record["id"]: record.pop("question") for record in records}
    (folder / "passages.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    ids = sorted(questions)
    random.Random(0).shuffle(ids)
    parts = {"dev": ids[: count // 2], "test": ids[count // 2 : count // 2 + count]}
    for name, part in parts.items():
        lines = (json.dumps({"question": questions[one], "expected": one}) + "\n" for one in part)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    index = folder / "index"
    if not (index / "manifest.json").is_file():
        main([str(folder / "passages.jsonl"), "--out", str(index), "--keep-near-duplicates", "--json"])
    encoder = FolderEncoder("starter")
    manifest = tune(index, encoder, folder / "dev.jsonl")
    retriever = IndexRetriever.open(index, encoder)
    pairs = read_pairs(folder / "test.jsonl")
    result: dict[str, Any] = {
        "questions": len(pairs),
        "fusion": manifest.fusion,
        "dense weight": manifest.weights["dense"],
        "form": retriever.settings.form,
        "title": retriever.settings.title,
    }
    chosen = replace(retriever.settings, floor=0.0, drop=0.0)
    bare = replace(chosen, form=0.0, title=0.0)
    ways = {
        "dense": bare,
        "lexical": bare,
        "fused without wording": bare,
        "lexical with wording": chosen,
        "fused": chosen,
    }
    for name, settings in ways.items():
        weights = MODES[name.split()[0]]
        settings = replace(settings, weights={**settings.weights, **weights})
        found = recall_at_k(retriever.with_settings(settings), pairs)
        result[name] = {"R@1": round(found.at[1], 3), "R@5": round(found.at[5], 3), "MRR": round(found.mrr, 3)}
    return result
