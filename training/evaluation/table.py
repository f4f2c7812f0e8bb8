"""`table.md`: the numbers of `metrics.json` for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.evaluation.summary import highlights

NOTES = (
    "Intervals are 95 % bootstrap intervals over patients, or pictures where patients are unknown. Answers are "
    "the model's own, without evidence unless --index was given, and even where the assistant would abstain; what "
    "abstaining does stands in its own table. `Always the commonest` is the accuracy of one fixed answer. An open "
    "answer is right if it is the same words once normalised (modalities and body regions by any of their names); "
    "recall is the share of the truth's words that are said, each counted as often as it stands there. Findings "
    "of phantom reports agree in name, side and zone. METEOR counts exact words and stems, no synonyms. The rule "
    "of every scorer stands in docs/evaluation.md."
)


def percent(estimate: Mapping[str, float] | None) -> str:
    """Return "81.2 % (77.0-85.1)", or "-" for none."""
    if not estimate or estimate["value"] != estimate["value"]:
        return "-"
    low, high = 100 * estimate["low"], 100 * estimate["high"]
    between = " to " if low < 0 else "-"  # a dash before a minus cannot be read
    return f"{100 * estimate['value']:.1f} % ({low:.1f}{between}{high:.1f})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, or nothing for no rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def render_table(metrics: Mapping[str, Any]) -> str:
    """Return the whole page.

    Args:
        metrics: the content of `metrics.json`.

    Returns:
        Markdown.
    """
    model, data = metrics["model"], metrics["data"]
    parts = [
        f"# {model['name']} on {', '.join(one['file'] for one in data['files'])}\n",
        f"Model {model['fingerprint']}; data {', '.join(one['sha256'] for one in data['files'])}; "
        f"{data['examples']} examples on {data['images']} pictures; {metrics['seconds']:.0f} s.\n",
    ]
    if "controls" in metrics:
        parts.append(f"**{metrics['controls']['verdict']}**\n")
    parts += ["## At a glance\n", highlights_table(highlights(dict(metrics)))]
    parts += ["## By source\n", _blocks(metrics["by_source"])]
    by_attribute = {
        f"{name}, {answer_type}": one
        for name, blocks in metrics["by_attribute"].items()
        for answer_type, one in blocks.items()
    }
    parts += ["## By attribute\n", _blocks(by_attribute)]
    standard = {
        f"{name}: {value}": one
        for name, blocks in metrics["standard_questions"].items()
        for value, one in blocks.items()
    }
    parts += ["## The two standard questions, asked of every picture\n", _blocks(standard)]
    by_kind = {
        f"{source}: {kind}": one for source, blocks in metrics["by_kind"].items() for kind, one in blocks.items()
    }
    parts += ["## By source and kind of question\n", _blocks(by_kind)]
    parts += ["## Reports and captions\n", _texts(metrics["by_source"])]
    parts += [
        "## With abstention on, and calibration\n",
        _assistant({"all": metrics["overall"], **metrics["by_source"]}),
    ]
    if "controls" in metrics and metrics["controls"]["n"]:
        parts += ["## Controls\n", _controls(metrics["controls"])]
    return "\n".join(part for part in [*parts, NOTES] if part) + "\n"


def highlights_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the main numbers.

    Args:
        rows: made by `highlights`.

    Returns:
        Markdown.
    """
    header = ("What", "Questions", "Score (95 % interval)", "Always the commonest")
    return markdown_table(
        header,
        [
            (
                str(row["name"]),
                str(row["n"]),
                percent(row),
                f"{100 * row['commonest_answer']:.1f} %" if "commonest_answer" in row else "-",
            )
            for row in rows
        ],
    )


def _blocks(blocks: Mapping[str, Mapping[str, Any]]) -> str:
    header = ("Part", "n", "Right", "Closed", "Choice", "Open: right", "Open: recall", "Open: token F1")
    rows = []
    for name, one in blocks.items():
        closed, choice, free = one.get("closed", {}), one.get("choice", {}), one.get("open", {})
        scores = (one.get("right"), closed.get("accuracy"), choice.get("accuracy"))
        free_scores = (free.get("right"), free.get("recall"), free.get("token_f1"))
        if any([*scores, *free_scores]):
            rows.append((name, str(one["n"]), *map(percent, scores), *map(percent, free_scores)))
    return markdown_table(header, rows)


def _texts(blocks: Mapping[str, Mapping[str, Any]]) -> str:
    header = ("Part", "n", "BLEU-4", "ROUGE-L", "METEOR", "Findings: precision", "recall", "F1", "F1 by name")
    rows = []
    for name, one in blocks.items():
        for kind in ("report", "caption"):
            if kind in one:
                text = one[kind]
                exact, by_name = text.get("findings", {}), text.get("findings_by_name", {})
                found = [exact.get("precision"), exact.get("recall"), exact.get("f1"), by_name.get("f1")]
                texts = [text.get(score) for score in ("bleu4", "rouge_l", "meteor")]
                rows.append((f"{name}, {kind}", str(text["n"]), *map(percent, texts), *map(percent, found)))
    return markdown_table(header, rows)


def _assistant(blocks: Mapping[str, Mapping[str, Any]]) -> str:
    header = (
        "Part",
        "Answered",
        "Right, all",
        "Right, of the answered",
        "Right, of the withheld",
        "ECE",
        "Brier",
        "AURC",
    )
    rows = []
    for name, one in blocks.items():
        given, sure = one["assistant"], one.get("calibration", {})
        scores = (
            given["coverage"],
            one.get("right"),
            given.get("selective_accuracy"),
            given.get("accuracy_of_withheld"),
        )
        numbers = (f"{sure[key]:.3f}" if sure else "-" for key in ("ece", "brier", "aurc"))
        rows.append((name, *map(percent, scores), *numbers))
    return markdown_table(header, rows)


def _controls(controls: Mapping[str, Any]) -> str:
    header = ("Picture", "Questions", "Answers changed", "Right", "Fall")
    rows: list[tuple[str, ...]] = [("its own", str(controls["n"]), "-", percent(controls["accuracy"]), "-")]
    for name in ("blank", "noise", "swapped", "question_only"):
        if one := controls.get(name):
            numbers = (percent(one[key]) for key in ("answers_changed", "accuracy", "drop"))
            rows.append((name.replace("_", " "), str(one["n"]), *numbers))
    return markdown_table(header, rows)
