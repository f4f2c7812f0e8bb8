"""Whole runs: a worklist that is killed half-way, and what one item costs as their number grows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import WIDTH
from benchmarks.retrieval_parts import clustered
from benchmarks.retrieval_rows import stored
from benchmarks.suite import SETTINGS, Measured

ROOT = Path(__file__).parent.parent
_GROWTH = 1.10
"""The most that an item may cost of many, as a multiple of what it costs of few."""


def small_pictures(folder: Path, count: int) -> list[Path]:
    """Write different pictures, cut out of those that ship; returns their files."""
    from PIL import Image

    from assistant.model.gate import gate_pictures

    folder.mkdir(parents=True, exist_ok=True)
    whole, rng = gate_pictures(), np.random.default_rng(0)
    files = []
    for number in range(count):
        pixels = whole[number % len(whole)].pixels[:128, :128].copy()
        pixels[rng.integers(0, pixels.shape[0], 8), rng.integers(0, pixels.shape[1], 8)] = rng.integers(0, 255)
        pixels[0, :4, 0] = [number % 251, number // 251 % 251, number // 63001, 1]
        files.append(folder / f"{number:05d}.png")
        Image.fromarray(pixels).save(files[-1])
    return files


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def resume(device: str) -> Sequence[Measured]:
    """A worklist that is killed (SIGKILL) at half and run again, against one that begins anew."""
    count = 12 if SETTINGS.quick else 80
    with tempfile.TemporaryDirectory() as folder:
        small_pictures(Path(folder) / "in", count)
        command = [
            sys.executable,
            "app.py",
            "report",
            f"{folder}/in",
            "--batch-size",
            "4",
            "--formats",
            "json",
            "--out",
        ]
        whole = _reported([*command, f"{folder}/whole"], Path(folder) / "whole")
        process = subprocess.Popen(
            [*command, f"{folder}/cut"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and len(_lines(Path(folder) / "cut" / "reports.jsonl")) < count // 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = len(_lines(Path(folder) / "cut" / "reports.jsonl"))
        again = _reported([*command, f"{folder}/cut"], Path(folder) / "cut")
        same = _content(Path(folder) / "whole") == _content(Path(folder) / "cut")
    share = (count - kept) / count
    gate = f"{'the same' if same else 'ANOTHER'} final file, {100 * share:.0f} % of the studies done again, at most 55"
    note = f"{count} studies, {kept} safe at the kill; CPU time with start-up, which both pay"
    peer = "a run that begins anew: scripts that write their results at the end"
    return [Measured("resume", peer, whole, again, gate, same and share <= 0.55, None, None, note)]


def _reported(command: Sequence[str], out: Path) -> float:
    before = os.times()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _content(out: Path) -> list[dict[str, Any]]:
    """Return the reports, less what tells when and how fast, by study."""
    found = [{name: v for name, v in one.items() if name != "seconds"} for one in _lines(out / "reports.jsonl")]
    return sorted(found, key=lambda one: str(one["study"]))


def scale_images(device: str) -> Sequence[Measured]:
    """Reports on 10 pictures and on 10,000: CPU time of one, the model loaded already."""
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig
    from assistant.imaging.load import load_picture
    from assistant.model.load import load_model
    from assistant.readahead import RunSettings
    from assistant.studies import collect_studies
    from assistant.worklist import run_worklist

    sizes = (10, 100) if SETTINGS.quick else (10, 10_000)
    assistant = MedicalAssistant(load_model("starter", device=device), settings=GenerationConfig(batch_size=10))
    with tempfile.TemporaryDirectory() as folder:
        files = small_pictures(Path(folder) / "in", sizes[1])

        def cost(chosen: Sequence[Path], out: Path) -> float:
            studies = collect_studies([str(one) for one in chosen]).studies
            settings = RunSettings(out, model="m", formats=("json",), batch_size=10)
            started = time.process_time()
            done = run_worklist(studies, assistant, settings, load=load_picture)
            assert done.reported == len(chosen)
            return (time.process_time() - started) / len(chosen)

        cost(files[:10], Path(folder) / "warm")
        few = [cost(files[10 * n : 10 * n + 10], Path(folder) / f"few{n}") for n in range(min(10, sizes[1] // 10))]
        many = cost(files, Path(folder) / "many")
    return [_flat("scale_images", f"{sizes[0]} pictures", f"{sizes[1]} pictures", float(np.median(few)), many)]


def scale_vectors(device: str) -> Sequence[Measured]:
    """Search in 1e3 vectors and in 1e6: CPU time of a query for each vector that is held, and recall with it."""
    from retrieval.vectors import VectorFile

    most = 120_000 if SETTINGS.quick else 1_000_000
    vectors, queries = clustered(most, WIDTH, 64)
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (1000, most):
            kept = vectors[:count]
            large = count > 100_000
            file = stored(Path(folder) / "v.faiss", kept) if large else VectorFile.build(kept, np.arange(count))
            times = []
            for _ in range(SETTINGS.repeats + 1):
                started = time.process_time()
                for query in queries:
                    file.search(query, 10)
                times.append(time.process_time() - started)
            costs.append(float(np.median(times[1:])) / len(queries) / count)
    return [_flat("scale_vectors", "1000 vectors", f"{most} vectors", *costs)]


def _flat(name: str, small: str, large: str, few: float, many: float) -> Measured:
    growth = many / few
    gate = f"an item of {large} costs {growth:.2f} of one of {small}, at most {_GROWTH:g}"
    return Measured(
        name, f"the same with {small}", few, many, gate, growth <= _GROWTH, None, None, "CPU time of an item"
    )
