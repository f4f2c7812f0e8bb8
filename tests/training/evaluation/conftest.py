"""Predictions made by hand, for what is worked out of answers without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.evaluation.answers import Reply
from training.evaluation.items import Item
from training.evaluation.summary import Prediction


def _row(prediction: str = "Yes", truth: str = "Yes", **changes: Any) -> Prediction:
    """Return one judged prediction; `changes` are fields of the item or of the reply, or `right`."""
    number = changes.pop("number", 0)
    reply = {
        "confidence": changes.pop("confidence", 0.8),
        "stop": changes.pop("stop", None),
        "written": changes.pop("written", ""),
        "shares": changes.pop("shares", ()),
    }
    fields = {
        "id": f"q{number}",
        "images": (Path(f"/images/{number}.png"),),
        "question": "Is there a nodule?",
        "history": (),
        "answer_type": "closed",
        "task": "vqa",
        "choices": (),
        "source": "made",
        "attribute": None,
        "kind": "presence",
        "group": f"patient {number}",
        **{name: value for name, value in changes.items() if name != "right"},
    }
    item = Item(truth=truth, **fields)
    right = changes.get("right", item.right(prediction))
    kind = "report" if item.answer_type == "report" else "closed"
    return Prediction(item, Reply(prediction, kind=kind, seconds=0.1, **reply), right)


@pytest.fixture(scope="session")
def row() -> Callable[..., Prediction]:
    """Return a function that makes one judged prediction."""
    return _row
