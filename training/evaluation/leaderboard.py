"""The leaderboard file: one line a run, with the hash of its data, its protocol and the command that made it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from training.evaluation.table import markdown_table, percent

SCORES = ("closed_accuracy", "choice_accuracy", "open_recall", "exact_match", "token_f1")


def line_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of a run.

    Args:
        metrics: the content of its `metrics.json`.

    Returns:
        Plain values; scores with their intervals.
    """
    report = metrics.get("report") or {}
    return {
        "date": metrics["date"],
        "model": metrics["model"]["name"],
        "model_fingerprint": metrics["model"]["fingerprint"],
        "data": [one["file"] for one in metrics["data"]["files"]],
        "data_sha256": metrics["data_sha256"],
        "limit": metrics["settings"]["limit"],
        "evidence": metrics["settings"]["evidence"],
        "protocol": metrics["protocol"],
        "n": metrics["n"],
        "scores": {name: metrics[name] for name in SCORES if name in metrics}
        | {f"report.{name}": report[name] for name in ("finding_f1", "bleu4") if name in report},
        "ece": metrics["calibration"].get("ece"),
        "controls": metrics["controls"]["verdict"] if "controls" in metrics else None,
        "seconds": metrics["seconds"],
        "command": metrics.get("command"),
    }


def add_line(path: Path, metrics: Mapping[str, Any]) -> None:
    """Add a run to a leaderboard; the line is written in one piece, so that runs at the same time do not mix.

    Args:
        path: JSON Lines, made if absent.
        metrics: the content of the run's `metrics.json`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line_of(metrics), ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, text.encode("utf-8"))
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a leaderboard.

    Args:
        path: of the file.

    Returns:
        Its lines, oldest first.

    Raises:
        DataError: it cannot be read, or a line is no run; names file and line.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Runs of training.evaluate write it.") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            lines.append({name: line[name] for name in ("model", "data_sha256", "protocol", "scores")} | line)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number} is no line of a leaderboard ({error}). Delete it.") from error
    return lines


def render(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a leaderboard as Markdown: a table for each data and version of the protocol, the best run first.

    Runs on other data, with another limit or by another version are never put into one table.

    Args:
        lines: read from the file.

    Returns:
        Markdown.
    """
    tables: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        key = str(line["data_sha256"]), str(line["protocol"].get("version")), str(line.get("limit"))
        tables.setdefault(key, []).append(line)
    parts = []
    for (data, version, limit), runs in tables.items():
        names = [
            name for name in (*SCORES, "report.finding_f1", "report.bleu4") if any(name in r["scores"] for r in runs)
        ]
        ordered = sorted(runs, key=lambda run: -_mean(run["scores"], names))
        rows = [
            (
                str(run["model"]),
                str(run.get("model_fingerprint", "-")),
                str(run["protocol"].get("strategy", "-")),
                str(run.get("evidence", "-")),
                *(percent(run["scores"].get(name)) for name in names),
                str(run.get("date", "-")),
            )
            for run in ordered
        ]
        header = ("Model", "Fingerprint", "Strategy", "Evidence", *(name.replace("_", " ") for name in names), "Date")
        files = ", ".join(ordered[0].get("data", []))
        some = "" if limit == "None" else f", {limit} examples of each file"
        parts.append(f"## {files} (sha256 {data[:16]}, protocol {version}{some})\n\n{markdown_table(header, rows)}")
        commands = dict.fromkeys(str(run["command"]) for run in ordered if run.get("command"))
        parts.append("```\n" + "\n".join(commands) + "\n```\n" if commands else "")
    return "\n".join(part for part in parts if part)


def _mean(scores: Mapping[str, Any], names: Sequence[str]) -> float:
    values = [scores[name]["value"] for name in names if name in scores]
    return sum(values) / len(values) if values else 0.0
