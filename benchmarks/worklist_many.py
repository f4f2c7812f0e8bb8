"""Many small studies in one worklist: does the memory stay flat, and what does the ledger cost?

The ledger costs the processor's time inside its methods and in writing pages, on whatever thread, and the time that the
run waits until a batch is on the disk. What the disk does while the model works costs nothing.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

SIDE = 32
FLAT = 1.05
"""Most that the memory after all studies may be, in shares of that after a tenth of them."""
LEDGER_SHARE = 0.02
"""Most of the whole time that the ledger may take."""
_TIMED = ("__enter__", "claim", "add_reports", "add_failures", "records")


def small_model() -> LoadedModel:
    """Return a model of two small layers with random weights, whose reports are as long as they may be.

    Tokenizer, template and picture size are the starter's.
    """
    import torch
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, ViTConfig

    from assistant.model.load import load_model

    starter = load_model("starter", device="cpu")
    was: Any = starter.llava.config
    config = LlavaConfig(
        vision_config=ViTConfig(
            image_size=was.vision_config.image_size, patch_size=was.vision_config.patch_size,
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        ),
        text_config=LlamaConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            vocab_size=was.text_config.vocab_size, max_position_embeddings=2048,
            pad_token_id=0, bos_token_id=1, eos_token_id=2,
        ),
        image_token_index=was.image_token_index,
        image_seq_length=was.image_seq_length,
        vision_feature_layer=was.vision_feature_layer,
        vision_feature_select_strategy=was.vision_feature_select_strategy,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        llava = LlavaForConditionalGeneration(config)
    return replace(
        starter,
        llava=llava.eval().requires_grad_(False),
        projection=torch.zeros((starter.projection.shape[0], 32)),
        folder=Path("no folder"),  # the starter's guard knows only its own tower
    )


def draw_many(folder: Path, count: int) -> None:
    """Write small pictures of noise, each another."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png", compress_level=1)


def run_many(model: LoadedModel, work: Path, *, count: int, tokens: int) -> dict[str, Any]:
    """Report on many studies in one run, then begin it once more, when nothing is left to do.

    Args:
        model: as loaded.
        work: an empty folder.
        count: studies.
        tokens: the most of one report.
    Returns:
        Memory in MB after each tenth, times in seconds, the ledger's share, and whether both are as they must be.
    """
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig
    from assistant.imaging.load import load_picture
    from assistant.readahead import RunSettings
    from assistant.studies import collect_studies
    from assistant.worklist import run_worklist

    draw_many(work / "in", count)
    settings = GenerationConfig(report_max_new_tokens=tokens, abstain_below=0.0, check_images=False)
    made = MedicalAssistant(model, None, settings)
    before = memory_mb()
    studies = collect_studies([str(work / "in")]).studies
    listed = memory_mb()
    held: list[float] = []
    seen = 0

    def tell(outcome: str) -> None:
        nonlocal seen
        seen += 1
        if seen % max(1, count // 10) == 0:
            held.append(round(memory_mb(), 1))

    run = RunSettings(out=work / "out", model=model.fingerprint)
    with timed_ledger() as spent:
        summary = run_worklist(studies, made, run, load=load_picture, on_progress=tell)
    again = run_worklist(studies, made, run, load=load_picture)
    share = spent() / summary.seconds
    flat = held[-1] / held[0]
    return {
        "studies": summary.reported,
        "listing_mb": round(listed - before, 1),
        "memory_mb_after_each_tenth": held,
        "memory_last_to_first": round(flat, 3),
        "seconds": round(summary.seconds, 1),
        "studies_per_hour": round(summary.studies_per_hour),
        "ledger_ms_per_study": round(1e3 * spent() / count, 3),
        "ledger_share": round(share, 4),
        "rerun_seconds": round(again.seconds, 1),
        "memory_after_rerun_mb": round(memory_mb(), 1),
        "flat": flat <= FLAT,
        "ledger_cheap": share <= LEDGER_SHARE,
        "right": summary.reported == count and again.already_done == count and flat <= FLAT,
    }


def memory_mb() -> float:
    """Return what this process holds now, in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def timed_ledger() -> Iterator[Callable[[], float]]:
    """Measure what the ledger and the pages cost; yield what tells it, in seconds."""
    from assistant import worklist
    from assistant.ledger import Ledger

    lock, spent = Lock(), 0.0

    def timed(method: Callable[..., Any], clock: Callable[[], float]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal spent
            started = clock()
            try:
                return method(*args, **kwargs)
            finally:
                with lock:
                    spent += clock() - started

        return run

    places: list[tuple[Any, str]] = [(Ledger, name) for name in _TIMED]
    places += [(worklist, "write_pages"), (worklist, "_settled")]
    before = [getattr(*place) for place in places]
    for (owner, name), method in zip(places, before, strict=True):
        setattr(owner, name, timed(method, time.perf_counter if name == "_settled" else time.thread_time))
    try:
        yield lambda: spent
    finally:
        for (owner, name), method in zip(places, before, strict=True):
            setattr(owner, name, method)
