"""One evaluation: data read, a model asked, the answers judged, and all that is measured of them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import DataError
from training.evaluation.settings import BATCH_SIZE, EvaluationSettings

if TYPE_CHECKING:
    from assistant.conversation import Question, ReportRequest
    from assistant.imaging.picture import Picture
    from data_recipes.schema import Example
    from training.evaluation.answers import Asks
    from training.evaluation.items import Item
    from training.evaluation.summary import Prediction

logger = logging.getLogger(__name__)


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
        first: dict[str, int] = {}
        for line, one in enumerate(examples, 1):
            if first.setdefault(one.id, line) != line:
                raise DataError(
                    f"{file} line {line}: field 'id' is {one.id!r}, which line {first[one.id]} has already; "
                    "predictions are told apart by it, so give each example its own."
                )
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
    asker: Asks, items: Sequence[Item], load: Callable[[Path], Picture], told: Callable[[int], None] = lambda _: None
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
    settings: EvaluationSettings | None = None,
) -> tuple[dict[str, Any], list[Prediction]]:  # fmt: skip
    """Measure a model.

    Args:
        model_name: `starter` or a model folder.
        files: data files.
        limit: at most so many examples of each file; only used without `settings`, as are the next two.
        controls: ask again with blank, noise, swapped and no pictures.
        batch_size: questions that go through the model together.
        device: where to run.
        index: whose evidence goes into the prompts; None measures the model alone.
        settings: all that can be chosen.

    Returns:
        The content of `metrics.json`, and the predictions.
    """
    from assistant.config import GenerationConfig
    from assistant.model.load import load_model
    from retrieval.encoder import ModelEncoder
    from retrieval.retriever import IndexRetriever
    from training.evaluation.answers import Asker
    from training.evaluation.items import make_item, standard_items
    from training.evaluation.measure import measure
    from training.evaluation.progress import progress
    from training.evaluation.scorers import find_scorers
    from training.evaluation.strategies import make_strategy

    chosen = settings or EvaluationSettings(limit=limit, controls=controls, batch_size=batch_size)
    find_scorers(chosen.scorers)  # A wrong name is told before the model is asked anything.
    started = time.perf_counter()
    examples = read_data(files, chosen.limit)
    items = [make_item(example, root) for root, example in examples]
    model = load_model(model_name, device=device)
    retriever = IndexRetriever.open(index, ModelEncoder(model)) if index else None
    usual = GenerationConfig(batch_size=chosen.batch_size, augment=not chosen.one_view)
    longest = chosen.max_new_tokens or usual.max_new_tokens
    asker = Asker(model, replace(usual, max_new_tokens=longest), retriever)
    load = picture_loader()
    asks = make_strategy(asker, chosen, items, load)
    rows = predict(asks, items, load, progress("questions", len(items)))
    standard = standard_items(examples)
    standard_rows = predict(asks, standard, load, progress("standard questions", len(standard)))
    asked = time.perf_counter() - started
    metrics: dict[str, Any] = {
        **_provenance(model, files, items),
        "settings": {
            "limit": chosen.limit,
            "batch_size": chosen.batch_size,
            "evidence": index.name if index else "none",
            **chosen.protocol(),
        },
        "questions_per_second": round((len(rows) + len(standard_rows)) / asked, 2),
        **measure(asks, chosen, rows, standard_rows, load),
    }
    metrics["seconds"] = round(time.perf_counter() - started, 1)
    return metrics, [*rows, *standard_rows]


def _provenance(model: Any, files: Sequence[Path], items: Sequence[Item]) -> dict[str, Any]:
    from training.run_folder import file_hash, versions

    return {
        "model": {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "calibration": dict(model.contract.calibration),
        },
        "model_fingerprint": model.fingerprint,
        "data": {
            "files": [{"file": file.name, "sha256": file_hash(file)} for file in files],
            "examples": len(items),
            "images": len({path for item in items for path in item.images}),
            "groups": len({item.group for item in items}),
            "sources": sorted({item.source for item in items}),
        },
        "data_sha256": data_hash(files),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": versions(),
    }


def data_hash(files: Sequence[Path]) -> str:
    """Return the sha256 of a data file, 64 hexadecimal digits; of several, of their sorted hashes one a line."""
    found = []
    for path in files:
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    found.sort()
    return found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()
