"""Does evidence help? `python -m retrieval.ablation EXAMPLES.jsonl [--index DIR] [--model M]`.

Each question is put to the whole assistant with no evidence, with random, with retrieved, with the very evidence that
holds the answer, with wrong evidence on purpose, and with right and wrong together. Reported are the share answered
right with a 95 % interval over groups (patients, else pictures), abstentions, how often an answer copies its evidence,
how often a right answer is lost to wrong evidence, and how the form of answers holds with 0 to 5 pieces. `--in-prompt`
shows the evidence to the model even if its contract says not to; without it the assistant is measured as it is used.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError
from retrieval.arms import ARMS, Arm, bootstrap, whole_documents
from retrieval.asked import Asked, follows, is_copied, read_asked

if TYPE_CHECKING:
    from assistant.chat import MedicalAssistant
    from assistant.conversation import Answer
    from assistant.evidence import Retriever
    from assistant.model.loaded import LoadedModel

logger = logging.getLogger(__name__)

MOST_PIECES = 5


@dataclass(frozen=True)
class Outcome:
    """One question under one arm."""

    asked: Asked
    answer: str
    right: bool
    abstained: bool
    copied: bool
    follows: bool


def ask_all(assistant: MedicalAssistant, questions: Sequence[Asked], arm: Arm | None) -> list[Outcome]:
    """Put every question to the assistant, one at a time, so that the arm knows which one it serves.

    Args:
        assistant: with the arm as its retriever, or with none.
        questions: to ask.
        arm: told which question is asked.
    Returns:
        One outcome a question.
    """
    from assistant.conversation import Question
    from assistant.imaging.load import load_picture

    outcomes: list[Outcome] = []
    for asked in questions:
        if arm is not None:
            arm.asked = asked
        pictures = tuple(load_picture(path) for path in asked.images)
        answer: Answer = assistant.answer(Question(asked.text, pictures, options=asked.options))
        outcomes.append(
            Outcome(
                asked,
                answer.text,
                not answer.abstained and asked.right(answer.text),
                answer.abstained,
                is_copied(answer.text, answer.evidence),
                answer.abstained or follows(asked, answer.text),
            )
        )
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of one arm, of all questions and of each kind."""
    kinds = {"all": list(outcomes)}
    for one in outcomes:
        kinds.setdefault(one.asked.needs, []).append(one)
    return {name: _figures(rows) for name, rows in kinds.items()}


def _figures(rows: Sequence[Outcome]) -> dict[str, Any]:
    count = len(rows)
    low, high = bootstrap([one.right for one in rows], [one.asked.group for one in rows])
    return {
        "questions": count,
        "right": sum(one.right for one in rows) / count,
        "interval": [low, high],
        "abstained": sum(one.abstained for one in rows) / count,
        "copied": sum(one.copied for one in rows) / count,
        "follows": sum(one.follows for one in rows) / count,
    }


def lost(before: Sequence[Outcome], after: Sequence[Outcome]) -> dict[str, Any]:
    """Return how many right answers of one arm are lost in another: to a wrong answer, or to an abstention.

    Args:
        before: of the arm with nothing wrong.
        after: of the same questions with wrong evidence.
    Returns:
        Counts, and the share lost; None where nothing was right before.
    """
    pairs = [(one, other) for one, other in zip(before, after, strict=True) if one.right]
    gone = [other for _, other in pairs if not other.right]
    return {
        "right_before": len(pairs),
        "lost": len(gone),
        "of_these_abstained": sum(one.abstained for one in gone),
        "share": len(gone) / len(pairs) if pairs else None,
    }


def run(
    model: LoadedModel, retriever: Any, questions: Sequence[Asked], *, in_prompt: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Run every arm.

    Args:
        model: to ask.
        retriever: over the index of evidence, an `IndexRetriever`.
        questions: from `read_asked`.
        in_prompt: show evidence to the model whatever its contract says.
        seed: of the random arm.
    Returns:
        JSON: `arms`, `over_reliance` and `pieces`.
    """
    if in_prompt:
        can = {**model.contract.capabilities, "evidence_in_prompt": "yes"}
        model = replace(model, contract=replace(model.contract, capabilities=can))
    documents = whole_documents(retriever)
    outcomes: dict[str, list[Outcome]] = {}
    for kind in ARMS:
        outcomes[kind] = _under(model, Arm(kind, retriever, documents, seed), questions)
        logger.info("%s: %.1f %% right", kind, 100 * summary(outcomes[kind])["all"]["right"])
    arm = Arm("retrieved", retriever, documents, seed)
    pieces = {count: summary(_under(model, arm, questions, count))["all"] for count in range(MOST_PIECES + 1)}
    return {
        "questions": len(questions),
        "evidence_in_prompt": in_prompt or model.contract.capabilities.get("evidence_in_prompt") == "yes",
        "arms": {kind: summary(rows) for kind, rows in outcomes.items()},
        "over_reliance": {
            "right without evidence, then wrong evidence": lost(outcomes["none"], outcomes["wrong"]),
            "right with the very evidence, then wrong beside it": lost(outcomes["oracle"], outcomes["mixed"]),
        },
        "pieces": pieces,
    }


def _under(model: LoadedModel, arm: Arm, questions: Sequence[Asked], count: int | None = None) -> list[Outcome]:
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig

    settings = GenerationConfig() if count is None else GenerationConfig(evidence_count=count)
    retriever: Retriever | None = None if arm.kind == "none" else arm
    return ask_all(MedicalAssistant(model, retriever, settings), questions, arm)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or broken data."""
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("examples", type=Path, help="example file (JSONL)")
    parser.add_argument("--index", type=Path, help="index folder (default: the one that ships with the starter)")
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--in-prompt", action="store_true", help="show evidence to the model against its contract")
    parser.add_argument("--limit", type=int, help="ask only the first so many questions")
    parser.add_argument("--seed", type=int, default=0, help="of the random evidence (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    try:
        result = _run(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    sys.stdout.write(json.dumps(result, indent=2) + "\n" if arguments.json else shown(result))
    return 0


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    import assistant
    from assistant.model.load import load_model
    from retrieval.encoder import ModelEncoder
    from retrieval.retriever import IndexRetriever

    questions = read_asked(arguments.examples)[: arguments.limit]
    model = load_model(arguments.model)
    folder = arguments.index or Path(assistant.__file__).parent / "starter" / "index"
    retriever = IndexRetriever.open(folder, ModelEncoder(model))
    return run(model, retriever, questions, in_prompt=arguments.in_prompt, seed=arguments.seed)


def shown(result: dict[str, Any]) -> str:
    """Return the tables of a result as Markdown."""
    shows = "yes" if result["evidence_in_prompt"] else "no"
    lines = [f"{result['questions']} questions, evidence in the prompt: {shows}", ""]
    lines += ["| evidence | needs | questions | right | 95 % interval | abstained | copied |", "|" + "---|" * 7]
    for arm, kinds in result["arms"].items():
        for kind, one in kinds.items():
            low, high = one["interval"]
            lines.append(
                f"| {arm} | {kind} | {one['questions']} | {one['right']:.1%} | {low:.1%} to {high:.1%} | "
                f"{one['abstained']:.1%} | {one['copied']:.1%} |"
            )
    lines += ["", "| over-reliance | right before | lost | of these abstained | share |", "|---|---|---|---|---|"]
    for name, one in result["over_reliance"].items():
        share = "-" if one["share"] is None else f"{one['share']:.1%}"
        lines.append(f"| {name} | {one['right_before']} | {one['lost']} | {one['of_these_abstained']} | {share} |")
    lines += ["", "| pieces | right | form kept | abstained |", "|---|---|---|---|"]
    for count, one in result["pieces"].items():
        lines.append(f"| {count} | {one['right']:.1%} | {one['follows']:.1%} | {one['abstained']:.1%} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(run_command(main))
