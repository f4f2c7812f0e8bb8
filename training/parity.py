"""Does a model say the same in every form? The same prompts through batches, saved, merged and quantized copies.

`python -m training.parity MODEL --data FILE.jsonl` loads the model in float32, one prompt at a time, as the reference;
every other form is compared with it: the logits along the data's own answers, and the answers that it writes. Exit
code 1 if a form is further off than its tolerance.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import run_command
from assistant.errors import AssistantError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from assistant.imaging.picture import Picture
    from assistant.model.loaded import LoadedModel
    from data_recipes.schema import Example


@dataclass(frozen=True)
class Tolerance:
    """How far a form may be off."""

    logit: float
    """Largest difference of any logit."""
    token: float
    """Least share of places whose most likely token is the same."""
    text: float
    """Least share of prompts whose written answer is the same."""


EXACT = Tolerance(1e-3, 1.0, 1.0)
TOLERANCES: dict[str, Tolerance] = {
    "batched": EXACT,
    "reloaded": EXACT,
    "merged": EXACT,
    "bfloat16": Tolerance(float("inf"), 0.97, 0.85),
    "int8": Tolerance(float("inf"), 0.95, 0.80),
    "nf4": Tolerance(float("inf"), 0.85, 0.60),
}
"""Rounding moves every logit, so rounded forms are held to what they say."""


@dataclass(frozen=True)
class Row:
    """One form against the reference."""

    form: str
    largest: float
    """Largest difference of a logit."""
    divergence: float
    """Mean Kullback-Leibler divergence from the reference's next-token distribution, in nats."""
    token: float
    """Share of places whose most likely token is the same."""
    text: float
    """Share of prompts whose written answer is the same."""
    holds: bool
    """Within its tolerance."""


@dataclass(frozen=True)
class Reading:
    """What one form gives: logits (A, V) along each answer's A tokens, and the answer it writes itself."""

    logits: list[Tensor]
    texts: list[str]


def read_form(model: LoadedModel, examples: Sequence[tuple[Path, Example]], *, batch_size: int) -> Reading:
    """Put the examples through a model.

    Args:
        model: any form.
        examples: each with the folder of its data file; the first answer of each is looked at.
        batch_size: prompts at a time, padded on the left.
    Returns:
        Logits by the stock forward pass, answers by the engine, greedily. The stock pass of a model with tiles begins
        behind the connector, since it knows no tiles.
    """
    import torch

    from assistant.config import GenerationConfig
    from assistant.engine.features import PictureEncoder
    from assistant.engine.generate import Generator
    from assistant.imaging.load import load_picture
    from assistant.prompts import user_message
    from training.dataset import Tokens

    tokens = Tokens(model.tokenizer, model.contract.image_tokens)
    turns = [tokens.turns(one)[0] for _, one in examples]
    pictures = [[load_picture(path) for path in one.image_paths(root)] for root, one in examples]
    logits: list[Tensor] = []
    pad = int(model.contract.pad_token_id)
    for start in range(0, len(turns), batch_size):
        part = turns[start : start + batch_size]
        longest = max(len(one.prompt) + len(one.answer) for one in part)
        ids = torch.full((len(part), longest), pad)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(part):
            length = len(one.prompt) + len(one.answer)
            ids[row, longest - length :] = torch.tensor([*one.prompt, *one.answer])
            mask[row, longest - length :] = 1
        shown = [each for group in pictures[start : start + batch_size] for each in group]
        with torch.inference_mode():
            ids, mask = ids.to(model.device), mask.to(model.device)
            given = _given(model, ids, shown)
            text = {} if "inputs_embeds" in given else {"input_ids": ids}
            found = model.llava(**text, attention_mask=mask, **given).logits.float().cpu()
        logits += [found[row, -len(one.answer) - 1 : -1] for row, one in enumerate(part)]
    settings = GenerationConfig(batch_size=batch_size)
    encoder, generator = PictureEncoder(model, batch_size=batch_size), Generator(model, settings)
    prompts = [
        generator.encoder.encode([user_message(one.messages[0]["content"], len(group))], encoder.encode(group))
        for (_, one), group in zip(examples, pictures, strict=True)
    ]
    return Reading(logits, [one.text for one in generator.generate(prompts, max_new_tokens=48)])


def _given(model: LoadedModel, ids: Tensor, pictures: Sequence[Picture]) -> dict[str, Tensor]:
    """Return what the stock forward pass takes for a batch's pictures."""
    import torch

    from assistant.engine.features import PictureEncoder
    from assistant.model.parts import bare

    if not pictures:
        return {}
    if model.contract.tiles == 1:
        return {"pixel_values": model.pixel_values(pictures)}
    llava = bare(model.llava)
    seen = torch.cat([one.patches for one in PictureEncoder(model).encode(pictures)])
    connected = llava.model.multi_modal_projector(seen)
    embeds = llava.get_input_embeddings()(ids)
    places = (ids == model.contract.image_token_id)[..., None]
    return {"inputs_embeds": embeds.masked_scatter(places, connected.to(embeds.dtype))}


def compare(form: str, reference: Reading, found: Reading) -> Row:
    """Compare a form with the reference.

    Args:
        form: a key of `TOLERANCES`.
        reference: the float32 model, one prompt at a time.
        found: the form.
    Returns:
        The row of the table.
    """
    import torch

    wanted, given = torch.cat(reference.logits), torch.cat(found.logits)
    before, after = wanted.log_softmax(-1), given.log_softmax(-1)
    largest = float((wanted - given).abs().max())
    token = float((wanted.argmax(-1) == given.argmax(-1)).float().mean())
    same = [a == b for a, b in zip(reference.texts, found.texts, strict=True)]
    text = sum(same) / len(same)
    limit = TOLERANCES[form]
    return Row(
        form=form,
        largest=largest,
        divergence=float((before.exp() * (before - after)).sum(-1).mean()),
        token=token,
        text=text,
        holds=largest <= limit.logit and token >= limit.token and text >= limit.text,
    )


def forms(name: str, scratch: Path) -> Iterator[tuple[str, int, Callable[[], LoadedModel]]]:
    """Yield the forms of a model: name, batch size, and what loads it.

    Args:
        name: a model or adapter folder, or "starter".
        scratch: empty folder to write copies to.
    Yields:
        "merged" only for an adapter.
    """
    from assistant.model.load import adapter_base, load_model, resolve
    from assistant.model.merge import merge_adapter
    from assistant.model.save import save_model

    folder = resolve(name)
    adapter = adapter_base(folder) is not None

    def plain(where: Path, **how: Any) -> LoadedModel:
        return load_model(where, **{"device": "cpu", "dtype": "float32", "quantization": "none", **how})

    def again() -> LoadedModel:
        source = scratch / "merged" if adapter else folder
        return plain(save_model(plain(source), scratch / "again", dtype="float32"))

    yield "batched", 8, lambda: plain(folder)
    if adapter:
        yield "merged", 1, lambda: plain(merge_adapter(folder, scratch / "merged", dtype="float32"))
    yield "reloaded", 1, again
    yield "bfloat16", 8, lambda: plain(folder, dtype="bfloat16")
    yield "int8", 8, lambda: plain(folder, quantization="int8")
    yield "nf4", 8, lambda: plain(folder, quantization="nf4")


def run_parity(name: str, data: Path, *, prompts: int = 32, seed: int = 0) -> list[Row]:
    """Compare all forms of a model on examples drawn from a data file.

    Args:
        name: a model or adapter folder, or "starter".
        data: JSONL file of examples.
        prompts: how many.
        seed: of the draw.
    Returns:
        One row a form.
    Raises:
        DataError: the file holds no examples.
        ModelError: the model cannot be loaded.
    """
    from assistant.model.load import load_model
    from data_recipes.schema import read_examples

    every = [(data.parent, one) for one in read_examples(data)]
    if not every:
        raise DataError(f"{data} holds no examples; give a file that data_recipes.build wrote.")
    chosen = random.Random(seed).sample(every, min(prompts, len(every)))
    single = load_model(name, device="cpu", dtype="float32", quantization="none")
    reference = read_form(single, chosen, batch_size=1)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for form, batch_size, load in forms(name, Path(scratch)):
            rows.append(compare(form, reference, read_form(load(), chosen, batch_size=batch_size)))
    return rows


def render(rows: Sequence[Row]) -> str:
    """Return the table as Markdown."""
    from training.evaluation.table import markdown_table

    header = ["form", "largest logit difference", "divergence (nats)", "same next token", "same answer", "holds"]
    cells = [
        [one.form, f"{one.largest:.2g}", f"{one.divergence:.2g}", f"{one.token:.1%}", f"{one.text:.1%}"]
        + ["yes" if one.holds else "NO"]
        for one in rows
    ]
    return markdown_table(header, cells)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.parity MODEL --data FILE.jsonl`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 all forms hold, 1 one does not, 2 wrong usage or input that must be mended.
    """
    parser = argparse.ArgumentParser(prog="python -m training.parity", description=__doc__)
    parser.add_argument("model", help="`starter`, a model folder or an adapter folder")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.jsonl", help="examples to draw prompts from")
    parser.add_argument("--prompts", type=int, default=32, help="how many (default 32)")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    arguments = parser.parse_args(argv)
    try:
        rows = run_parity(arguments.model, arguments.data, prompts=arguments.prompts)
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    told = json.dumps({"model": arguments.model, "forms": [asdict(one) for one in rows]}, indent=2)
    sys.stdout.write((told if arguments.json else render(rows)).rstrip() + "\n")
    return 0 if all(one.holds for one in rows) else 1


if __name__ == "__main__":
    raise SystemExit(run_command(main))
