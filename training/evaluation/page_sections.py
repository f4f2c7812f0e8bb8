"""The sections of the report page, each made of a part of `metrics.json`; a section with nothing to say is empty."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from training.evaluation.comparison_table import HEADER, comparison_rows
from training.evaluation.corruptions import STRENGTHS
from training.evaluation.page_html import barred, number, section, table

Metrics = Mapping[str, Any]
_NAMES = {
    "closed_accuracy": "Closed questions right",
    "choice_accuracy": "Multiple choice right",
    "open_recall": "Open questions, recall",
    "exact_match": "Open questions, exact match",
    "token_f1": "Open questions, token F1",
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR (no synonyms)",
    "finding_precision": "Findings, precision",
    "finding_recall": "Findings, recall",
    "finding_f1": "Findings, F1",
    "prior_sentences_per_report": "Sentences on a prior, a report",
    "length_ratio": "Length ratio",
}
_NO_SHARE = ("prior_sentences_per_report", "length_ratio")


def banner(metrics: Metrics) -> str:
    """Return what the controls found, coloured; a warning where they were not run."""
    if "controls" not in metrics:
        return '<p class="banner warn">Whether the answers depend on the image was not measured: add --controls.</p>'
    verdict = metrics["controls"]["verdict"]
    kind = "bad" if verdict.startswith("THE ANSWERS DO NOT") else "warn" if verdict[:2].isupper() else ""
    return f'<p class="banner {kind}">{escape(verdict)}</p>'


def tile(name: str, estimate: Mapping[str, Any], *, as_percent: bool = True) -> str:
    """Return a large number with its interval below."""
    value, _, interval = number(estimate, as_percent=as_percent).partition(" ")
    count = f" &middot; n {estimate['n']}" if "n" in estimate else ""
    return f'<div class="tile"><span>{escape(name)}</span><b>{value}</b><span>{interval}{count}</span></div>'


def headline_section(metrics: Metrics) -> str:
    """Return the main numbers as tiles."""
    tiles = [tile(name, metrics[key]) for key, name in _NAMES.items() if isinstance(metrics.get(key), dict)]
    for kind in ("report", "caption"):
        scores = metrics.get(kind) or {}
        tiles += [
            tile(f"{kind.capitalize()}s: {_NAMES[key]}", scores[key], as_percent=key not in _NO_SHARE)
            for key in _NAMES
            if key in scores
        ]
    note = f"{metrics['n']} answers. Brackets: 95 % bootstrap intervals over patients, or images."
    return section("Scores", note, f'<div class="tiles">{"".join(tiles)}</div>' if tiles else "")


def controls_section(metrics: Metrics) -> str:
    """Return what blank, noise, swapped and no images do."""
    found = metrics.get("controls") or {}
    if not found.get("n"):
        return ""
    rows = [("as it is", str(found["n"]), "&ndash;", barred(found["accuracy"]), "&ndash;")]
    for name in ("blank", "noise", "swapped", "question_only"):
        if one := found.get(name):
            rows.append(
                (
                    escape(name.replace("_", " ")),
                    str(one["n"]),
                    barred(one["answers_changed"]),
                    barred(one["accuracy"]),
                    number(one["drop"]),
                )
            )
    return section(
        "Controls: does it look?",
        "The same questions with another image. A model that looks changes its answers, and gets worse.",
        table(("Image", "Questions", "Answers changed", "Right", "Fall"), rows, right=(1,)),
    )


def comparison_section(metrics: Metrics) -> str:
    """Return the paired comparison with another run."""
    found = metrics.get("against")
    if not found:
        return ""
    rows = [tuple(escape(cell) for cell in row) for row in comparison_rows(found)]
    return section("Against another run", found["verdict"], table(HEADER, rows, right=(1, 5, 6, 7)))


def trust_section(metrics: Metrics) -> str:
    """Return calibration, abstention and conformal sets."""
    rows: list[tuple[str, str]] = []
    sure = metrics.get("calibration") or {}
    if sure:
        scaled = sure["temperature"]["cross_fitted"]
        for key, name in (("ece", "Calibration error (ECE)"), ("brier", "Brier score"), ("aurc", "AURC")):
            text = f"{number(sure['intervals'][key], as_percent=False)}; {scaled[key]:.3f} after temperature scaling"
            rows.append((name, text))
    given = metrics.get("abstention") or {}
    if given:
        rows.append(("Answered", barred(given["coverage"])))
        rows.append(("Right when answered", barred(given.get("accuracy"))))
        rows.append(("Right among the withheld", barred(given.get("accuracy_of_withheld"))))
    sets = metrics.get("conformal") or {}
    if sets:
        held = "held" if sets["held"] else "NOT held"
        rows.append((f"Conformal sets: coverage, {sets['promised']:.0%} promised ({held})", barred(sets["coverage"])))
        rows.append(("Conformal sets: one answer, given", barred(sets["answered"])))
        rows.append(("Conformal sets: right when given", barred(sets["accuracy_when_answered"])))
    note = (
        "Temperature scaling is cross-fitted: each patient is scaled by a fit on the others. Conformal sets are fitted "
        "on half of the patients and checked on the other half, a hundred times."
    )
    return section("Confidence and abstention", note, table(("What", "Value"), rows))


def breakdown_section(metrics: Metrics) -> str:
    """Return the main scores by modality, source and answer type."""
    found = []
    keys = ("closed_accuracy", "choice_accuracy", "open_recall", "exact_match", "token_f1")
    for name, values in (metrics.get("by") or {}).items():
        if name == "group" or not values:
            continue
        used = [key for key in keys if any(key in one for one in values.values())]
        rows = [
            (escape(value), str(one["n"]), *(number(one.get(key)) for key in used)) for value, one in values.items()
        ]
        if used:
            header = (name.replace("_", " ").capitalize(), "n", *(_NAMES[key] for key in used))
            found.append(table(header, rows, right=(1,)))
    return section("By part", "The same scores for each part of the data.", *found)


def fairness_section(metrics: Metrics) -> str:
    """Return the scores by group, and the gaps."""
    found = []
    for trait, one in (metrics.get("fairness") or {}).items():
        rows = [
            (
                escape(value),
                str(group["n"]),
                barred(group["accuracy"]),
                f"{100 * group['confidence']:.0f}&thinsp;%",
                f"{100 * group['withheld']:.0f}&thinsp;%",
            )
            for value, group in one["groups"].items()
        ]
        gap = one.get("gap")
        told = (
            f"Gap {number(gap)}: {escape(gap['best'])} over {escape(gap['worst'])}; the difference of these two "
            f"{number(gap['difference'])}."
            if gap
            else "Too few answers in all but one group for a gap."
        )
        header = (trait.replace("_", " ").capitalize(), "n", "Right", "Mean confidence", "Withheld")
        found.append(table(header, rows, right=(1, 3, 4)) + f'<p class="note">{told}</p>')
    note = "Share of right answers by group. A gap is the best large group less the worst; chance alone makes some."
    return section("Groups and sites", note, *found)


def pairs_section(metrics: Metrics) -> str:
    """Return the scores of confusing pairs."""
    found = metrics.get("pairs") or {}
    names = (("set_accuracy", "All of a set right"), ("single_accuracy", "Single questions right"),
             ("confusion", "Same answer to all of a set"))  # fmt: skip
    rows = [(name, barred(found[key])) for key, name in names if key in found]
    note = f"{found.get('n', 0)} sets of questions that look alike and differ in one fact."
    return section("Confusing pairs", note, table(("What", "Value"), rows))


def robustness_section(metrics: Metrics) -> str:
    """Return the accuracy over corrupted images, by kind and strength."""
    found = metrics.get("robustness") or {}
    rows = []
    for name, one in (found.get("corruptions") or {}).items():
        cells = [f"{100 * step['accuracy']['value']:.1f}&thinsp;%" for step in one["strengths"]]
        rows.append((escape(name), *cells, number(one["mean_drop"])))
    if rows:
        rows.append(("all", *["" for _ in STRENGTHS], number(found["mean_drop"])))
    note = f"{found['n']} questions; as they are {found['accuracy']['value']:.1%} right." if rows else ""
    header = ("Corruption", *(f"Strength {step}" for step in STRENGTHS), "Mean fall")
    return section("Corrupted images", note, table(header, rows, right=tuple(range(1, len(STRENGTHS) + 1))))


def scorers_section(metrics: Metrics) -> str:
    """Return what other rules give on the same answers."""
    rows = [
        (
            f"<code>{escape(name)}</code>",
            str(one["n"]),
            number(one),
            f"{escape(one['rule'])}<br><small>{escape(one['source'])}</small>",
        )
        for name, one in (metrics.get("scorers") or {}).items()
    ]
    note = "The same answers by the rules of other projects, for numbers that can stand beside theirs."
    return section("Other scorers", note, table(("Scorer", "n", "Score", "Rule"), rows, right=(1,)))


def provenance_section(metrics: Metrics) -> str:
    """Return what it takes to make these numbers again."""
    rows = [("Data", escape(f"{one['file']}, sha256 {one['sha256']}")) for one in metrics["data"]["files"]]
    rows += [
        ("Data hash", escape(metrics["data_sha256"])),
        ("Model fingerprint", escape(metrics["model_fingerprint"])),
        ("Protocol", escape(", ".join(f"{name} {value}" for name, value in metrics["protocol"].items()))),
        ("Settings", escape(", ".join(f"{name} {value}" for name, value in metrics["settings"].items()))),
        ("Versions", escape(", ".join(f"{name} {value}" for name, value in metrics["versions"].items()))),
        ("Time", f"{metrics.get('seconds', 0):.0f} s, {metrics['questions_per_second']:.1f} questions a second"),
    ]
    command = f"<pre>{escape(metrics['command'])}</pre>" if metrics.get("command") else ""
    return section("How to make this again", "", table(("What", "Value"), rows), command)
