"""How good is a model? Writes metrics.json, table.md, predictions.jsonl; with --controls, whether it looks at all."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import AssistantError, DataError

if TYPE_CHECKING:
    from assistant.conversation import Question, ReportRequest
    from assistant.imaging.picture import Picture
    from data_recipes.schema import Example
    from training.evaluation.answers import Asker
    from training.evaluation.items import Item
    from training.evaluation.summary import Prediction

logger = logging.getLogger(__name__)

CONTROL_LIMIT = 500
BATCH_SIZE = 32


def read_data(files: Sequence[Path], limit: int | None = None) -> list[tuple[Path, Example]]:
    """Read the examples of some files, each with the folder of its file.

    Args:
        files: JSON Lines of examples.
        limit: at most so many of each file, drawn by chance but always the same ones.

    Returns:
        The examples, in the order of the files.

    Raises:
        DataError: a file cannot be read, breaks the format or is empty.
    """
    import random

    from data_recipes.schema import read_examples

    found: list[tuple[Path, Example]] = []
    for file in files:
        examples = list(read_examples(file))
        if not examples:
            raise DataError(f"{file} holds no example. Give a data file: python -m data_recipes.build --list")
        if limit is not None and limit < len(examples):
            kept = sorted(random.Random(0).sample(range(len(examples)), limit))
            examples = [examples[place] for place in kept]
        found += [(file.parent, example) for example in examples]
    return found


def picture_loader(keep: int = 64) -> Callable[[Path], Picture]:
    """Return a function that reads a picture from a path and remembers the latest."""
    from assistant.imaging.load import load_picture

    return lru_cache(maxsize=keep)(load_picture)


def predict(
    asker: Asker, items: Sequence[Item], load: Callable[[Path], Picture], told: Callable[[int], None] = lambda _: None
) -> list[Prediction]:
    """Ask the items and judge the answers.

    Args:
        asker: of the model.
        items: what to ask; asked picture by picture, whatever their order.
        load: reads a picture.
        told: called now and then with the number of items done.

    Returns:
        A prediction for each item, in the order of `items`.
    """
    from training.evaluation.answers import ask_all
    from training.evaluation.summary import Prediction

    def request(item: Item) -> Question | ReportRequest:
        return item.request([load(path) for path in item.images])

    order = sorted(range(len(items)), key=lambda place: (items[place].images, place))
    replies = ask_all(asker, [partial(request, items[place]) for place in order], told=told)
    made = {}
    for place, reply in zip(order, replies, strict=True):
        made[place] = Prediction(items[place], reply, items[place].right(reply.text))
    return [made[place] for place in range(len(items))]


def evaluate(
    model_name: str, files: Sequence[Path], *, limit: int | None = None, controls: bool = False,
    batch_size: int = BATCH_SIZE, device: str = "auto", index: Path | None = None,
) -> tuple[dict[str, Any], list[Prediction]]:  # fmt: skip
    """Measure a model.

    Args:
        model_name: `starter` or a model folder.
        files: data files.
        limit: at most so many examples of each file.
        controls: ask again with blank, noise and swapped pictures.
        batch_size: questions that go through the model together.
        device: where to run.
        index: whose evidence goes into the prompts; None measures the model alone.

    Returns:
        The content of `metrics.json`, and the predictions.
    """
    from assistant.config import GenerationConfig
    from assistant.model.load import load_model
    from retrieval.encoder import ModelEncoder
    from retrieval.retriever import IndexRetriever
    from training.evaluation.answers import Asker
    from training.evaluation.controls import run_controls
    from training.evaluation.items import make_item, standard_items
    from training.evaluation.summary import highlights, summary

    started = time.perf_counter()
    examples = read_data(files, limit)
    items = [make_item(example, root) for root, example in examples]
    standard = standard_items(examples)
    model = load_model(model_name, device=device)
    retriever = IndexRetriever.open(index, ModelEncoder(model)) if index else None
    asker = Asker(model, GenerationConfig(batch_size=batch_size), retriever)
    load = picture_loader()
    rows = predict(asker, items, load, _progress("questions", len(items)))
    standard_rows = predict(asker, standard, load, _progress("standard questions", len(standard)))
    asked = time.perf_counter() - started
    metrics: dict[str, Any] = {
        **_provenance(model, files, items),
        "settings": {
            "limit": limit,
            "batch_size": batch_size,
            "evidence": index.name if index else "none",
            "temperature": 0,
        },
        "questions_per_second": round((len(rows) + len(standard_rows)) / asked, 2),
        **summary(rows, standard_rows),
    }
    metrics["highlights"] = highlights(metrics)
    if controls:
        told = _progress("control questions", 3 * min(CONTROL_LIMIT, len(rows)))
        metrics["controls"] = run_controls(asker, rows, load, limit=CONTROL_LIMIT, told=told)
    metrics["seconds"] = round(time.perf_counter() - started, 1)
    return metrics, [*rows, *standard_rows]


def write_results(out: Path, metrics: dict[str, Any], rows: Sequence[Prediction]) -> None:
    """Write `metrics.json`, `table.md` and `predictions.jsonl`.

    Args:
        out: the folder, made if absent; earlier results in it are replaced.
        metrics: made by `evaluate`.
        rows: likewise.
    """
    from training.evaluation.table import render_table
    from training.run_folder import write_json

    out.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows)
    for name, text in (("predictions.jsonl", lines), ("table.md", render_table(metrics))):
        partial_file = out / f"{name}.partial"
        partial_file.write_text(text, encoding="utf-8")
        os.replace(partial_file, out / name)
    write_json(out / "metrics.json", metrics)


def _provenance(model: Any, files: Sequence[Path], items: Sequence[Item]) -> dict[str, Any]:
    from training.run_folder import file_hash, versions

    return {
        "model": {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "calibration": dict(model.contract.calibration),
        },
        "data": {
            "files": [{"file": file.name, "sha256": file_hash(file)} for file in files],
            "examples": len(items),
            "images": len({path for item in items for path in item.images}),
            "groups": len({item.group for item in items}),
            "sources": sorted({item.source for item in items}),
        },
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": versions(),
    }


def _progress(what: str, total: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        logger.info("%d of %d %s", done, total, what)

    return told


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--model", default="starter", help="`starter` or a model folder (default: starter)")
    parser.add_argument("--data", type=Path, required=True, nargs="+", metavar="FILE.jsonl", help="examples to ask")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--limit", type=int, metavar="N", help="ask at most N examples of each file, drawn by chance")
    parser.add_argument("--index", type=Path, metavar="DIR", help="put its evidence into the prompts, as in use")
    parser.add_argument("--controls", action="store_true", help="ask again with blank, noise and swapped images")
    parser.add_argument(
        "--batch-size", type=int, default=BATCH_SIZE, help=f"questions at a time (default: {BATCH_SIZE})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    arguments = parser.parse_args(argv)
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; use 1 or more")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    try:
        metrics, rows = evaluate(
            arguments.model, arguments.data, limit=arguments.limit, controls=arguments.controls,
            batch_size=arguments.batch_size, device=arguments.device,
            index=arguments.index,
        )  # fmt: skip
        write_results(arguments.out, metrics, rows)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    from training.evaluation.table import highlights_table

    sys.stdout.write(highlights_table(metrics["highlights"]) + f"\nWritten: {arguments.out}\n")
    if controls := metrics.get("controls"):
        sys.stdout.write(controls["verdict"] + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
