"""How the starter is measured: on what was kept out of training, and on many reports besides, and the card of both."""

from __future__ import annotations

import shutil
from pathlib import Path

from training.starter_step import run_main

EVALUATED = 1200
"""Questions of each file; the development questions are fewer."""


def evaluate(sets: Path, out: Path) -> None:
    """Score the development questions and questions on phantoms, with controls, to `scores`.

    Args:
        sets: folder of the chain's data.
        out: folder of the chain.
    """
    data = [sets / "pack" / "dev.jsonl", sets / "phantoms" / "test.jsonl"]
    _evaluate(out, data, "scores", "--controls", "--limit", EVALUATED)


def evaluate_reports(sets: Path, out: Path) -> None:
    """Score all reports on phantoms of a seed of their own, to `scores_reports`.

    A hundred reports among the questions tell the F1 of findings to four points either way, which is too rough to tell
    one tuning from another.

    Args:
        sets: folder of the chain's data.
        out: folder of the chain.
    """
    _evaluate(out, [sets / "held-out" / "reports.jsonl"], "scores_reports")


def _evaluate(out: Path, data: list[Path], name: str, *more: object) -> None:
    from training.evaluate import main

    run_main(name, main, ["--model", out / "model", "--data", *data, "--out", out / name, *more])


def write_card(out: Path) -> None:
    """Write the card of both, beside the model and into its folder.

    Args:
        out: folder of the chain.
    """
    from training.card import main

    card, scores = out / "card.md", [out / name / "metrics.json" for name in ("scores", "scores_reports")]
    run_main("card", main, ["--model", out / "model", "--metrics", *scores, "--out", card])
    shutil.copyfile(card, out / "model" / "README.md")
