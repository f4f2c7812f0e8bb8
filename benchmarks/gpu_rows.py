"""Rows for a GPU: one answer at the speed of the memory, many at once, pictures a second, and training.

`python -m benchmarks.run --device cuda` runs them. With `--device cpu --quick` they run on a tiny model, which shows
that they run and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.model.gate import gate_pictures
from assistant.prompts import conversation
from assistant.sampling import Sampling
from benchmarks.engine_model import QUESTIONS, peer_answer
from benchmarks.engine_rows import furthest, our_answers
from benchmarks.gpu_model import folders, forget_peak, opened, peak_gigabytes, read_rate, shown, wait, weight_bytes
from benchmarks.suite import SETTINGS, Measured, side_by_side

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

_STEPS_APART = 4.0
"""Steps of bfloat16 by which the logits of two tokens may differ where batches of other sizes part."""
_GENERATE = "Hugging Face generate, one question at a time, its picture encoded for it"
_COSINE = 0.999


def gpu_decode(device: str) -> Sequence[Measured]:
    """One answer, token by token, in bfloat16 and NF4: which share of the memory's speed is reached."""
    lines = []
    for name, quantization in (("bfloat16", None), ("nf4", "nf4")):
        model = opened(device, "nf4" if quantization else None)
        theirs, ours, same = _token_times(model, device)
        limit = weight_bytes(model) / ours / read_rate(device)
        note = f"time of a token; {1 / ours:.1f} tokens a second; limit: the weights read once a token, 50 % asked"
        gate = f"{'the same' if same else 'OTHER'} tokens as kernel by kernel"
        lines.append(Measured(f"gpu_decode {name}", _GENERATE, theirs, ours, gate, same, None, limit, note))
        del model
        forget_peak(device)
    return lines


def _token_times(model: LoadedModel, device: str) -> tuple[float, float, bool]:
    """Return the seconds of one more token in the peer's way and ours, and whether our two ways agree."""
    short, long = (2, 10) if SETTINGS.quick else (16, 272)
    picture, tokens = shown(1)[0], {}
    (features,) = PictureEncoder(model).encode([picture])
    times = []
    for most in (short, long):
        asked = Sampling(max_new_tokens=most)
        ways = [Generator(model, GenerationConfig(decode_step=way)) for way in ("auto", "static")]
        prompts = [
            replace(one.encoder.encode(conversation(QUESTIONS[0], images=1), [features]), sampling=asked)
            for one in ways
        ]
        tokens = {place: ways[place].generate([prompts[place]])[0].ids for place in range(2)}
        times.append(
            side_by_side(
                partial(peer_answer, model, picture, QUESTIONS[0], most),
                partial(ways[0].generate, [prompts[0]]),
            )
        )
    wait(device)
    theirs, ours = ((times[1][place] - times[0][place]) / (long - short) for place in range(2))
    return theirs, max(ours, 1e-9), tokens[0] == tokens[1]


def gpu_batch(device: str) -> Sequence[Measured]:
    """64 questions about 16 pictures at once, against one after the other."""
    model, tokens = opened(device), 8 if SETTINGS.quick else 64
    pictures = shown(16)
    settings = GenerationConfig(batch_size=64)
    together = partial(our_answers, model, pictures, QUESTIONS, [tokens] * 64, settings)
    # The other way costs the same for each question: eight stand for all.
    few = pictures[:2]
    alone = partial(_alone, model, few, tokens)
    theirs, ours = side_by_side(alone, together)
    wanted, found = alone(), together()[: len(few) * len(QUESTIONS)]
    apart = furthest(model, few, wanted, found)
    gate = f"where an answer parts, both tokens' logits lie {apart:.2f} steps of bfloat16 apart at most, "
    note = f"time of a request; {64 / ours:.1f} a second; 16 pictures × 4 questions × {tokens} tokens, bfloat16"
    each = theirs / (len(few) * len(QUESTIONS)), ours / 64
    gate += f"{_STEPS_APART:g} allowed"
    return [Measured("gpu_batch", _GENERATE, *each, gate, apart <= _STEPS_APART, 30.0, None, note)]


def _alone(model: LoadedModel, pictures: Sequence[object], tokens: int) -> list[list[int]]:
    return [peer_answer(model, picture, text, tokens) for picture in pictures for text in QUESTIONS]  # type: ignore[arg-type]


def gpu_encoder(device: str) -> Sequence[Measured]:
    """Pictures a second through the ViT-B/16, from memory of the host that does not move."""
    model, count = opened(device), 8 if SETTINGS.quick else 1024
    encoder, size = PictureEncoder(model), 4 if SETTINGS.quick else 256
    known = gate_pictures()
    pixels = model.pixel_values(known).cpu().repeat(-(-count // len(known)), 1, 1, 1)[:count]
    pixels = pixels.pin_memory() if device.startswith("cuda") else pixels

    def batches(each: int, whole: int) -> None:
        for start in range(0, whole, each):
            part = pixels[start : start + each].to(device, non_blocking=True)
            encoder.encode_pixels(part, [""] * len(part))

    few = min(count, 32)
    theirs, ours = side_by_side(partial(batches, 1, few), partial(batches, size, count))
    exact = PictureEncoder(_on_cpu()).encode(known)
    made = encoder.encode(known)
    cosine = float(np.min([one.joint @ other.joint for one, other in zip(exact, made, strict=True)]))
    note = f"time of a picture; {count / ours:,.0f} a second in batches of {size}, 9,000 asked; bfloat16, ViT-B/16"
    peer = "one picture at a time through the same tower"
    gate = f"cosine {cosine:.5f} to float32, at least {_COSINE}"
    return [Measured("gpu_encoder", peer, theirs / few, ours / count, gate, cosine >= _COSINE, None, None, note)]


def _on_cpu() -> LoadedModel:
    from assistant.model.load import load_model

    return load_model(folders()[0], device="cpu", dtype="float32", quantization="none")


def gpu_sft(device: str) -> Sequence[Measured]:
    """Training steps with an adapter: tokens a second and peak memory, on weights in bfloat16 and in NF4 (QLoRA)."""
    plain, quantized = (_trained(device, one) for one in (None, "nf4"))
    apart = abs(plain.first - quantized.first) / plain.first
    gate = f"first loss in NF4 {100 * apart:.1f} % from that in bfloat16, at most 10"
    memory = f"peak memory {quantized.peak:.1f} GB in NF4, {plain.peak:.1f} GB in bfloat16"
    speeds = f"{plain.speed:,.0f} tokens a second in bfloat16, {quantized.speed:,.0f} in NF4"
    note = f"time of a token, prompts and pictures counted; {speeds}; {memory}; LoRA rank 16 and connector"
    peer = "the same trainer with QLoRA: weights held in NF4"
    return [Measured("gpu_sft", peer, 1 / quantized.speed, 1 / plain.speed, gate, apart <= 0.1, None, None, note)]


class _Trained:
    """What some steps of training came to: the first loss, tokens a second and the peak of memory in GB."""

    def __init__(self, first: float, speed: float, peak: float) -> None:
        self.first, self.speed, self.peak = first, speed, peak


def _trained(device: str, quantization: Literal["nf4"] | None) -> _Trained:
    """Take a few steps of `training.sft`."""
    import tempfile
    from statistics import median

    from benchmarks.training_rows import LORA, OPTIMIZER, SIDE
    from training.llava import LlavaTrainer
    from training.loop import Loop
    from training.run_folder import RunFolder
    from training.settings import DataPart, LlavaSettings

    forget_peak(device)
    model, examples = folders()
    turns = max(2, SETTINGS.repeats) + 1
    with tempfile.TemporaryDirectory() as work:
        settings = LlavaSettings(
            str(model), (DataPart(examples),), Path(work) / "run", lora=replace(LORA, quantization=quantization),
            optimizer=OPTIMIZER, pictures=2 if SETTINGS.quick else 16, longest=1024, augment=None, store_side=SIDE,
            steps=turns,
        )  # fmt: skip
        torch.manual_seed(settings.seed)
        trainer = LlavaTrainer(settings, RunFolder(settings.out, settings))
        loop = Loop(trainer.network, OPTIMIZER, steps=turns, seed=settings.seed)
        losses, speeds = [], []
        for _ in range(turns):
            started = SETTINGS.clock()
            parts = trainer.material.draw(SIDE, loop.generator)
            losses.append(trainer.step(loop, parts))
            wait(device)
            tokens = sum(int((batch.branch >= 0).sum()) for batch, _ in parts)
            speeds.append(tokens / (SETTINGS.clock() - started))
    return _Trained(losses[0], median(speeds[1:]), peak_gigabytes(device))
