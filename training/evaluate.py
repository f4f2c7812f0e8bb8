"""How good is a model? Writes metrics.json, table.md, report.html and predictions.jsonl; tells whether it looks at all.

With --controls every question is asked again with a blank, a noise, a swapped and no image. Scores, intervals, groups
and plots are the same whatever the --strategy. Every run adds a line to a leaderboard.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, ConfigError
from training.evaluation.run import evaluate, picture_loader, predict, read_data
from training.evaluation.settings import BATCH_SIZE, STRATEGIES, EvaluationSettings

if TYPE_CHECKING:
    from training.evaluation.summary import Prediction

__all__ = ["evaluate", "main", "picture_loader", "predict", "read_data", "write_results"]


def write_results(out: Path, metrics: dict[str, Any], rows: Sequence[Prediction], *, pictures: bool = False) -> None:
    """Write `metrics.json`, `table.md`, `report.html`, the plots and `predictions.jsonl`.

    Args:
        out: the folder, made if absent; earlier results in it are replaced.
        metrics: made by `evaluate`.
        rows: likewise.
        pictures: put small copies of pictures into the page.
    """
    from training.evaluation.page import render_page
    from training.evaluation.plots import draw_plots
    from training.evaluation.table import render_table
    from training.run_folder import write_json

    out.mkdir(parents=True, exist_ok=True)
    own = [row for row in rows if not row.item.standard]
    plots = draw_plots(own)
    texts = {
        "predictions.jsonl": "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows),
        "table.md": render_table(metrics),
        "report.html": render_page(metrics, own, plots, pictures=pictures),
        **{f"{name}.svg": plot for name, plot in plots.items()},
    }
    for name, text in texts.items():
        partial_file = out / f"{name}.partial"
        partial_file.write_text(text, encoding="utf-8")
        os.replace(partial_file, out / name)
    write_json(out / "metrics.json", metrics)


def _parser() -> argparse.ArgumentParser:
    usual = EvaluationSettings()
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter", help="`starter` or a model folder (default: starter)")
    parser.add_argument("--data", type=Path, required=True, nargs="+", metavar="FILE.jsonl", help="examples to ask")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--limit", type=int, metavar="N", help="ask at most N examples of each file, drawn by chance")
    parser.add_argument("--index", type=Path, metavar="DIR", help="put its evidence into the prompts, as in use")
    parser.add_argument(
        "--batch-size", type=int, default=BATCH_SIZE, help=f"questions at a time (default: {BATCH_SIZE})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")

    asking = parser.add_argument_group("how to ask")
    asking.add_argument(
        "--strategy", choices=STRATEGIES, default=usual.strategy, metavar="NAME",
        help="; ".join(f"{name}: {what}" for name, what in STRATEGIES.items()) + f" (default: {usual.strategy})",
    )  # fmt: skip
    asking.add_argument("--examples", type=Path, metavar="TRAIN.jsonl", help="where few-shot examples come from")
    asking.add_argument("--shots", type=int, default=usual.shots, help=f"examples a question (default: {usual.shots})")
    asking.add_argument(
        "--samples", type=int, default=usual.samples,
        help=f"texts that vote, or orders of the choices (default: {usual.samples})",
    )  # fmt: skip
    asking.add_argument(
        "--temperature", type=float, default=usual.temperature,
        help=f"of self-consistency; every other strategy takes the likeliest (default: {usual.temperature})",
    )  # fmt: skip
    asking.add_argument(
        "--one-view", action="store_true", help="leave out the altered pictures that the model's contract asks for"
    )
    asking.add_argument("--max-new-tokens", type=int, metavar="N", help="the most tokens of an answer")

    more = parser.add_argument_group("what else to measure")
    more.add_argument("--controls", action="store_true", help="ask again with blank, noise, swapped and no images")
    more.add_argument("--robustness", action="store_true", help="ask again with images corrupted at five strengths")
    more.add_argument(
        "--scorers", nargs="*", default=list(usual.scorers), metavar="NAME",
        help="scorers beside the usual, by name or by the part before the dot (default: llava_med medevalkit)",
    )  # fmt: skip
    more.add_argument(
        "--weights", nargs="+", default=[], metavar="NAME=DIR",
        help="optional scorers of reports with their weights: radgraph, chexbert, green, ratescore",
    )  # fmt: skip
    more.add_argument("--group-by", nargs="+", default=[], metavar="TRAIT", help="compare these groups (default: all)")
    more.add_argument(
        "--risk", type=float, default=usual.risk,
        help=f"share of questions whose conformal set may miss the truth (default: {usual.risk})",
    )  # fmt: skip
    more.add_argument("--against", type=Path, metavar="PREDICTIONS.jsonl", help="compare with another run, paired")

    kept = parser.add_argument_group("what to write")
    kept.add_argument("--pictures", action="store_true", help="put small copies of images into report.html")
    kept.add_argument(
        "--leaderboard", metavar="FILE.jsonl",
        help="where to add this run's line; `none` for nowhere (default: leaderboard.jsonl beside the out folder)",
    )  # fmt: skip
    return parser


def settings_of(arguments: argparse.Namespace) -> EvaluationSettings:
    """Return the settings that a command line asks for.

    Args:
        arguments: parsed.

    Returns:
        The settings.

    Raises:
        ConfigError: a value is refused.
    """
    weights = []
    for text in arguments.weights:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise ConfigError(f"--weights {text} is not NAME=DIR, such as chexbert=weights/chexbert.")
        weights.append((name, Path(folder)))
    return EvaluationSettings(
        limit=arguments.limit,
        batch_size=arguments.batch_size,
        controls=arguments.controls,
        robustness=arguments.robustness,
        strategy=arguments.strategy,
        shots=arguments.shots,
        examples=arguments.examples,
        samples=arguments.samples,
        temperature=arguments.temperature,
        one_view=arguments.one_view,
        max_new_tokens=arguments.max_new_tokens,
        scorers=tuple(arguments.scorers),
        weights=tuple(weights),
        group_by=tuple(arguments.group_by),
        risk=arguments.risk,
        pictures=arguments.pictures,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    words = sys.argv[1:] if argv is None else argv
    try:
        settings = settings_of(arguments)
        other = _other(arguments.against)
        metrics, rows = evaluate(
            arguments.model, arguments.data, device=arguments.device, index=arguments.index, settings=settings
        )
        metrics["command"] = shlex.join(["python", "-m", "training.evaluate", *words])
        if other is not None:
            from training.evaluation.comparison import compare_lines

            metrics["against"] = compare_lines([row.to_dict() for row in rows], other, name=str(arguments.against))
        write_results(arguments.out, metrics, rows, pictures=settings.pictures)
        _remember(arguments, metrics)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    _tell(arguments.out, metrics)
    return 0


def _other(path: Path | None) -> list[dict[str, Any]] | None:
    """Read the predictions to compare with before the model is asked anything."""
    if path is None:
        return None
    from training.evaluation.comparison import read_predictions

    return read_predictions(path)


def _remember(arguments: argparse.Namespace, metrics: Mapping[str, Any]) -> None:
    from training.evaluation.leaderboard import add_line

    if arguments.leaderboard != "none":
        add_line(Path(arguments.leaderboard or arguments.out.resolve().parent / "leaderboard.jsonl"), metrics)


def _tell(out: Path, metrics: Mapping[str, Any]) -> None:
    from training.evaluation.table import highlights_table

    sys.stdout.write(highlights_table(metrics["highlights"]) + f"\nWritten: {out}\n")
    if controls := metrics.get("controls"):
        sys.stdout.write(controls["verdict"] + "\n")
    if against := metrics.get("against"):
        sys.stdout.write(against["verdict"] + "\n")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
