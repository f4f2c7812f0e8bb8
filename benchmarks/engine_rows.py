"""The engine's rows: questions about pictures, answers of many lengths, attention of one token, and many clients."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch

from assistant.config import AssistantConfig, GenerationConfig
from assistant.engine.attention import decode_attention
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.engine.paths import matmul_use
from assistant.engine.prompt import Prompt
from assistant.imaging.picture import Picture
from assistant.model.encoding import with_encoding
from assistant.model.load import load_model
from assistant.model.loaded import LoadedModel
from assistant.prompts import conversation
from assistant.sampling import Sampling
from benchmarks.encoding_rows import own_state
from benchmarks.engine_model import QUESTIONS, peer_answers, pictures, random_model, step_apart
from benchmarks.suite import Measured, side_by_side

TOKENS = 64
"""Of each answer of `vqa_exact` and `vqa_fast`."""
REPEATS = 5
PRECISIONS: tuple[Literal["exact", "bfloat16", "int8"], ...] = ("exact", "bfloat16", "int8")
LENGTHS = (8, 96, 16, 24, 128, 12, 48, 64, 10, 32, 20, 80, 8, 40, 16, 112)
"""Tokens of the answers of `vqa_varlen`."""
MOST_POINTS = 0.5
"""By how much fewer bits may change the score of a task, in points of a hundred."""
_LLAVA_MED = "LLaVA-Med's loop: a question at a time, its picture encoded for it, float32"


def our_answers(
    model: LoadedModel,
    shown: Sequence[Picture],
    asked: Sequence[str],
    lengths: Sequence[int],
    settings: GenerationConfig,
) -> list[list[int]]:
    """Ask every question about every picture as the assistant does; nothing is known from an earlier call."""
    features = PictureEncoder(model).encode(shown)
    generator = Generator(model, settings)
    prompts = _prompts(generator, features, asked, lengths)
    return [list(one.ids) for one in generator.generate(prompts)]


def _prompts(
    generator: Generator, features: Sequence[Any], asked: Sequence[str], lengths: Sequence[int]
) -> list[Prompt]:
    made = [generator.encoder.encode(conversation(text, images=1), [one]) for one in features for text in asked]
    wishes = [Sampling(max_new_tokens=longest) for longest in lengths]
    return [replace(prompt, sampling=wish) for prompt, wish in zip(made, wishes, strict=True)]


@cache
def _asked(device: str) -> dict[str, tuple[float, list[list[int]]]]:
    """Time the peer's way and each precision of ours in turn; the median seconds and the tokens of each."""
    model, shown = random_model(device=device), pictures(4)
    lengths = [TOKENS] * (len(shown) * len(QUESTIONS))
    ways: dict[str, Callable[[], list[list[int]]]] = {"peer": partial(peer_answers, model, shown, QUESTIONS, lengths)}
    for precision in PRECISIONS if device == "cpu" else PRECISIONS[:1]:
        settings = GenerationConfig(precision=precision)
        ways[precision] = partial(our_answers, _encoding(model, settings), shown, QUESTIONS, lengths, settings)
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[list[int]]] = {}
    for turn in range(REPEATS + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            found[name] = way()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: (statistics.median(times[name]), found[name]) for name in ways}


def _encoding(model: LoadedModel, settings: GenerationConfig) -> LoadedModel:
    """Return the model with the encoder's number format that the commands take with these settings."""
    with own_state():
        return with_encoding(model, AssistantConfig(generation=settings).encoder_format)


def vqa_exact(device: str) -> list[Measured]:
    """Sixteen questions about four pictures in float32, with the peer's tokens."""
    timed = _asked(device)
    theirs, wanted = timed["peer"]
    ours, found = timed["exact"]
    same = sum(one == other for one, other in zip(found, wanted, strict=True))
    return [
        Measured(
            "vqa_exact", _LLAVA_MED, theirs, ours, f"{same} of {len(wanted)} answers the same token by token",
            same == len(wanted), wanted=6.0, limit=_share_of_products(ours),
            note=f"213M model, 4 pictures × 4 questions × {TOKENS} tokens, {torch.get_num_threads()} threads",
        )
    ]  # fmt: skip


def vqa_fast(device: str) -> list[Measured]:
    """The same in fewer bits, where the starter's score on drawn pictures stays."""
    timed = _asked(device)
    theirs, _ = timed["peer"]
    scores = phantom_scores()
    lines = []
    for precision in ("bfloat16", "int8"):
        ours, _ = timed[precision]
        change = scores[precision] - scores["exact"]
        lines.append(
            Measured(
                f"vqa_fast {precision}", _LLAVA_MED, theirs, ours,
                f"the starter's score on phantoms {change:+.2f} points, at most {MOST_POINTS} lost",
                change >= -MOST_POINTS, wanted=12.0,
                note=f"as vqa_exact, the tower in what passes its gate; score {scores['exact']:.1f} % exact, "
                f"{scores[precision]:.1f} % {precision}",
            )
        )  # fmt: skip
    return lines


def phantom_scores(count: int = 240) -> dict[str, float]:
    """Return the share of questions about phantoms that the starter answers word for word, in percent.

    Args:
        count: pictures to draw.
    Returns:
        The score in each of `PRECISIONS`.
    """
    from assistant.imaging.load import load_picture
    from data_recipes.build import build_data
    from data_recipes.schema import read_examples

    model = load_model("starter", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        build_data("phantom", None, root, limit=count, seed=77)
        asked = [
            one
            for name in ("train", "dev", "test")
            for one in read_examples(root / f"{name}.jsonl")
            if one.task == "vqa" and len(one.images) == 1 and len(one.messages) == 2
        ]
        files = sorted({one.image_paths(root)[0] for one in asked})
        shown = [load_picture(file) for file in files]
        places = [one.image_paths(root)[0] for one in asked]
    scores: dict[str, float] = {}
    for precision in PRECISIONS:
        settings = GenerationConfig(precision=precision, max_new_tokens=48)
        generator = Generator(model, settings)
        features = PictureEncoder(_encoding(model, settings), max_items=len(files)).encode(shown)
        seen = dict(zip(files, features, strict=True))
        prompts = [
            generator.encoder.encode(conversation(one.messages[0]["content"], images=1), [seen[place]])
            for one, place in zip(asked, places, strict=True)
        ]
        made = generator.generate(prompts)
        right = sum(
            _bare(one.text) == _bare(truth.messages[1]["content"]) for one, truth in zip(made, asked, strict=True)
        )
        scores[precision] = 100 * right / len(asked)
    return scores


def _bare(text: str) -> str:
    return " ".join(text.lower().replace(".", " ").split())


def vqa_varlen(device: str) -> list[Measured]:
    """Sixteen answers of 8 to 128 tokens in bfloat16, against one after the other, in two ways."""
    model, shown = random_model(torch.bfloat16, device), pictures(4)
    settings = GenerationConfig()
    lines = []
    together = partial(our_answers, model, shown, QUESTIONS, LENGTHS, settings)

    def alone() -> list[list[int]]:
        encoder, generator = PictureEncoder(model), Generator(model, replace(settings, share_prefixes=False))
        features = [encoder.encode([one])[0] for one in shown]
        prompts = _prompts(generator, features, QUESTIONS, LENGTHS)
        return [list(generator.generate([prompt])[0].ids) for prompt in prompts]

    peers = partial(peer_answers, model, shown, QUESTIONS, LENGTHS)
    for name, way, asked in (("Hugging Face generate", peers, 2.5), ("this engine", alone, None)):
        theirs, ours = side_by_side(way, together, repeats=REPEATS)
        wanted, found = way(), together()
        same = sum(one == other for one, other in zip(found, wanted, strict=True))
        apart = furthest(model, shown, wanted, found)
        lines.append(
            Measured(
                f"vqa_varlen, {name}", f"{name}, bfloat16, one question at a time", theirs, ours,
                f"{same} of {len(wanted)} rows the same token by token; where one parts, both tokens' logits lie "
                f"{apart:.2f} steps of bfloat16 apart at most, 1 allowed", apart <= 1.0, wanted=asked,
                note="213M model, answers of 8 to 128 tokens",
            )
        )  # fmt: skip
    return lines


def furthest(
    model: LoadedModel, shown: Sequence[Picture], wanted: Sequence[Sequence[int]], found: Sequence[Sequence[int]]
) -> float:
    """Return the largest distance of two answers' tokens where they first differ; 0 where none do.

    Rows of other lengths are summed in another order, so two tokens within one rounding may change places.
    """
    apart = [0.0]
    pairs = [(picture, question) for picture in shown for question in QUESTIONS]
    for (picture, question), one, other in zip(pairs, wanted, found, strict=True):
        if len(one) != len(other):
            return float("inf")
        place = next((place for place, both in enumerate(zip(one, other, strict=True)) if both[0] != both[1]), None)
        if place is not None:
            apart.append(step_apart(model, picture, question, one[:place], (one[place], other[place])))
    return max(apart)


def decode_row(device: str) -> list[Measured]:
    """Attention of one new token of sixteen rows, in bfloat16."""
    rows, heads, width, length = 16, 12, 64, 300
    made = torch.Generator().manual_seed(0)
    query = torch.randn(rows, heads, 1, width, generator=made).to(device, torch.bfloat16)
    keys, values = torch.randn(2, rows, heads, 512, width, generator=made).to(device, torch.bfloat16)[..., :length, :]
    mask = torch.ones((rows, 1, 1, length), dtype=torch.bool, device=device)
    mask[0, ..., :9] = False
    own = partial(torch.nn.functional.scaled_dot_product_attention, query, keys, values, attn_mask=mask)
    products = partial(decode_attention, query, keys, values, mask, width**-0.5)
    exact = torch.nn.functional.scaled_dot_product_attention(
        query.float(), keys.float(), values.float(), attn_mask=mask
    )
    config = load_model("starter").llava.config.get_text_config()
    config.num_attention_heads = config.num_key_value_heads = heads
    config.head_dim = width
    chosen = matmul_use(config, torch.bfloat16, device)[1]
    with torch.inference_mode():
        theirs, matmul = side_by_side(own, products, repeats=50)
        error = float(((products() if chosen else own()).float() - exact).abs().max())
    ours = matmul if chosen else theirs
    taken = "two matrix products" if chosen else "torch's own function"
    moved = 2 * rows * heads * length * width * 2
    return [
        Measured(
            "decode_attention", "torch's scaled_dot_product_attention, bfloat16, one query", theirs, ours,
            f"largest error {error:.1e}, below 1e-2", error < 1e-2, wanted=6.0,
            limit=moved / ours / bandwidth(device),
            note=f"16 rows, 12 heads of 64, 300 tokens; the engine takes {taken} here; products {1e3 * matmul:.2f} ms",
        )
    ]  # fmt: skip


def bandwidth(device: str) -> float:
    """Return the bytes a second that this machine reads with as many threads as torch uses."""
    block = torch.ones(64_000_000, device=device)
    with torch.inference_mode():
        seconds, _ = side_by_side(block.sum, lambda: None, repeats=5)
    return block.nbytes / seconds


def _share_of_products(seconds: float) -> float:
    """Return which share of the time the products alone would take at the speed of one large float32 product.

    They are counted for the prompts read once each, and the tokens written: 2 for each weight of the language model.
    """
    one, other = torch.ones((1024, 1024)), torch.ones((1024, 1024))
    with torch.inference_mode():
        large, _ = side_by_side(partial(torch.mm, one, other), lambda: None, repeats=5)
    speed = 2 * 1024**3 / large
    tower, language, head = 86e6, 85e6, 27000 * 768
    read, written = 4 * 230 + 16 * 12, 16 * (TOKENS - 1)
    products = 2 * (4 * 197 * tower + (read + written) * language + (16 + written) * head)
    return products / speed / seconds
