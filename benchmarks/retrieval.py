"""How fast and how well the index searches: `python -m benchmarks.retrieval NAME`.

scoring   1e5 vectors of width 512: against a dense float32 product and a full sort for each query
large     1e6 vectors of width 512: inverted lists on disk against FAISS flat
restart   opening a stored index of 1e4 documents against embedding them again
queries   embedding short questions against padding them to 256 tokens, with a text tower of BERT-base's size
memory    peak memory of a build at one size and at three times that size
passages  a build over real corpora, and the time of hybrid questions to it: --corpus FILE...
medquad   question → the passage that answers it: dense, BM25 and hybrid; --corpus MEDQUAD.jsonl

Every ratio is of two figures from one run on this machine, in CPU time, with one thread unless OMP_NUM_THREADS says
otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.ending import run_command
from benchmarks.retrieval_parts import (
    WordEncoder,
    base_tower,
    clustered,
    medquad_table,
    passage_lines,
    peak_memory,
    question_times,
)

WIDTH = 512
QUERIES = 256


def best_time(run: Callable[[], object], repeats: int = 3) -> float:
    """Return the CPU time of the fastest of several runs, in seconds, after one that does not count.

    CPU time, not the clock's: what else the machine does would else be measured too. With one thread they are the same.
    """
    run()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of the (B, K) true neighbours that were found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def scoring(arguments: argparse.Namespace) -> dict[str, Any]:
    """1e5 vectors: milliseconds for one query among many, and for one by itself."""
    import torch

    from retrieval.vectors import VectorFile

    vectors, queries = clustered(100_000, WIDTH, QUERIES)
    file = VectorFile.build(vectors, np.arange(len(vectors)))
    corpus, asked = torch.from_numpy(vectors), torch.from_numpy(queries)

    def peer(count: int = QUERIES) -> np.ndarray:
        scores = asked[:count] @ corpus.T
        order = [torch.argsort(row, descending=True)[:10] for row in scores]
        return torch.stack(order).numpy()

    truth = peer()
    rows = {
        "product and full sort, all queries": best_time(peer) / QUERIES,
        "product and full sort, one query": best_time(lambda: [peer(1) for _ in range(16)]) / 16,
        "ours, all queries": best_time(lambda: file.search_many(queries, 10)) / QUERIES,
        "ours, one query, at first": best_time(lambda: [file.search(query, 10) for query in queries[:8]]) / 8,
    }
    for query in queries[:64]:
        file.search(query, 10)
    rows["ours, one query"] = best_time(lambda: [file.search(query, 10) for query in queries]) / QUERIES
    singly = np.stack([file.search(query, 10)[1] for query in queries])
    file.__dict__["_fast"] = None
    rows["FAISS flat, all queries"] = best_time(lambda: file.search_many(queries, 10)) / QUERIES
    rows["FAISS flat, one query"] = best_time(lambda: [file.search_many(one[None], 10) for one in queries[:16]]) / 16
    del file.__dict__["_fast"]
    return {
        "milliseconds": {name: round(1000 * value, 3) for name, value in rows.items()},
        "ratio, all queries": round(rows["product and full sort, all queries"] / rows["ours, all queries"], 1),
        "ratio, one query": round(rows["product and full sort, one query"] / rows["ours, one query"], 1),
        "recall@10": round(recall(file.search_many(queries, 10)[1], truth), 4),
        "recall@10, one query": round(recall(singly, truth), 4),
    }


def large(arguments: argparse.Namespace) -> dict[str, Any]:
    """1e6 vectors: one query after another, as an assistant asks."""
    import faiss

    from retrieval.vector_writer import sample_size, write_vectors
    from retrieval.vectors import VectorFile

    vectors, queries = clustered(arguments.count, WIDTH, 64)
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(vectors)
    truth = flat.search(queries, 10)[1]
    flat_s = best_time(lambda: [flat.search(query[None], 10) for query in queries[:8]], 2) / 8
    flat.reset()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.faiss"
        started = time.perf_counter()
        chosen = np.random.default_rng(1).permutation(len(vectors))[: sample_size(len(vectors))]
        blocks = (
            (vectors[n : n + 65_536], np.arange(n, min(n + 65_536, len(vectors))))
            for n in range(0, len(vectors), 65_536)
        )
        write_vectors(path, blocks, len(vectors), WIDTH, sample=vectors[chosen])
        build_s = time.perf_counter() - started
        megabytes = sum(item.stat().st_size for item in path.parent.iterdir()) / 1e6
        del vectors
        started = time.perf_counter()
        file = VectorFile.load(path)
        open_s = time.perf_counter() - started
        own_s = best_time(lambda: [file.search(query, 10) for query in queries]) / len(queries)
        found = file.search_many(queries, 10)[1]
    return {
        "vectors": arguments.count,
        "FAISS flat ms": round(1000 * flat_s, 2),
        "ours ms": round(1000 * own_s, 3),
        "ratio": round(flat_s / own_s, 1),
        "recall@10": round(recall(found, truth), 4),
        "build s": round(build_s, 1),
        "open ms": round(1000 * open_s, 1),
        "megabytes": round(megabytes),
    }


def restart(arguments: argparse.Namespace) -> dict[str, Any]:
    """Opening a stored index of 1e4 documents, until the first question is answered, against embedding them again."""
    from retrieval.encoder import FolderEncoder
    from retrieval.retriever import IndexRetriever
    from retrieval.write import build_streamed

    encoder = FolderEncoder("starter")
    encoder.embed_texts(["start"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "index"
        texts = [one.text for one in passage_lines(10_000)]
        started = time.process_time()
        encoder.embed_texts(texts)
        embed_s = time.process_time() - started
        build_streamed(
            lambda faults, tally: passage_lines(10_000), WordEncoder(encoder), out, plan={}, near_duplicates=True
        )
        open_s = best_time(lambda: IndexRetriever.open(out, WordEncoder(encoder)).search("effusion of the left lung"))
    return {"embed again s": round(embed_s, 2), "open and answer s": round(open_s, 4), "ratio": round(embed_s / open_s)}


def queries(arguments: argparse.Namespace) -> dict[str, Any]:
    """Short questions through a tower of BERT-base's size with random weights: only the time is looked at."""
    import torch

    tower, texts = base_tower(), [f"is there an effusion in the chest of number {n}" for n in range(16)]
    tokens = tower.tokenizer(texts, padding="max_length", truncation=True, max_length=256, return_tensors="pt")

    def padded() -> np.ndarray:
        with torch.inference_mode():
            hidden = tower.bert(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            return tower._project(hidden.last_hidden_state[:, 0]).numpy()

    slow, fast = best_time(padded, 2) / len(texts), best_time(lambda: tower.embed(texts)) / len(texts)
    difference = float(np.abs(padded() - tower.embed(texts)).max())
    return {
        "padded to 256 ms": round(1000 * slow, 2),
        "ours ms": round(1000 * fast, 2),
        "ratio": round(slow / fast, 1),
        "largest difference": float(f"{difference:.1e}"),
    }


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak of the memory that builds hold, each in a process of its own; files that are mapped are not held."""
    peaks = {}
    for size in (arguments.count // 3, arguments.count):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.retrieval", "one-build", "--count", str(size), "--out", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[size] = json.loads(done.stdout)["peak MB"]
    small, large_one = sorted(peaks)
    return {
        "peak MB": peaks,
        "of one passage more, bytes": round((peaks[large_one] - peaks[small]) * 1e6 / (large_one - small)),
        "of its vectors, bytes": 2 * 4 * WIDTH,
    }


def one_build(arguments: argparse.Namespace) -> dict[str, Any]:
    """One build of `--count` made-up passages under `--out`, with vectors of hashed words: what `memory` runs."""
    from retrieval.write import build_streamed

    with peak_memory() as peak:
        build_streamed(
            lambda faults, tally: passage_lines(arguments.count),
            WordEncoder(None, WIDTH),
            Path(arguments.out) / "index",
            plan={},
            near_duplicates=True,
            exact_limit=2000,
        )
    return {"peak MB": round(peak[0] / 1000, 1)}


def passages(arguments: argparse.Namespace) -> dict[str, Any]:
    """A build by the command that users run, then 200 questions made of the corpus's own titles."""
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or str(Path(folder) / "index")
        built: dict[str, Any] = {}
        if not (Path(out) / "manifest.json").is_file():
            command = [sys.executable, "-m", "retrieval.build", *arguments.corpus, "--out", out, "--json"]
            started = time.perf_counter()
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            built = {"build s": round(time.perf_counter() - started, 1), "records": json.loads(done.stdout)["records"]}
        return {**built, **question_times(Path(out))}


def medquad(arguments: argparse.Namespace) -> dict[str, Any]:
    """R@1, R@5 and MRR of dense, BM25 and hybrid search; the fusion is chosen on other questions than those asked."""
    with tempfile.TemporaryDirectory() as folder:
        return medquad_table(Path(arguments.corpus[0]), Path(arguments.out or folder), arguments.count)


COMMANDS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "scoring": scoring,
    "large": large,
    "restart": restart,
    "queries": queries,
    "memory": memory,
    "one-build": one_build,
    "passages": passages,
    "medquad": medquad,
}
_COUNTS = {"large": 1_000_000, "memory": 105_000, "medquad": 1000}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one measurement and print it as JSON."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retrieval", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=COMMANDS)
    parser.add_argument("--corpus", nargs="+", default=[], help="corpora for passages and medquad")
    parser.add_argument("--out", help="keep the index here, and use it if it is there")
    parser.add_argument("--count", type=int, help="vectors, passages or questions")
    arguments = parser.parse_args(argv)
    if arguments.name in ("passages", "medquad") and not arguments.corpus:
        parser.error(f"{arguments.name} needs --corpus")
    arguments.count = arguments.count or _COUNTS.get(arguments.name, 1000)
    print(json.dumps(COMMANDS[arguments.name](arguments), indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
