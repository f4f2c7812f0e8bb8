"""Rewards that can be checked: each reads an answer and what is known of its example, and lies between 0 and 1.

No model judges. An example that a reward cannot judge (a report whose findings are not known) is refused before
training starts rather than scored as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from assistant.review import change_sentences
from data_recipes.schema import Example
from training.evaluation.items import true_findings
from training.metrics import answer_tokens, closed_right, compare_findings, same_answer, token_f1

_THOUGHT = re.compile(r"\s*<think>(?P<thought>.+?)</think>\s*<answer>(?P<answer>.+?)</answer>\s*", re.DOTALL)


@dataclass(frozen=True)
class Reward:
    """One way to score an answer."""

    score: Callable[[str, Example], float]
    """(answer, its example) to 0 … 1."""
    applies: Callable[[Example], bool]
    """Whether an example can be judged."""
    needs: str
    """What an example must have, for the error message."""


def final_answer(text: str) -> str:
    """Return what stands between <answer> and </answer>, or all of a text without them."""
    found = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return found[1].strip() if found else text.strip()


def answer_match(text: str, example: Example) -> float:
    """Score a question's answer: right or wrong where there are answers to choose from, else by shared words.

    Args:
        text: the answer.
        example: closed, choice or open.
    Returns:
        1 if right; for an open question that is not, the F1 of its words, at most 0.5.
    """
    answer, truth = final_answer(text), example.messages[-1]["content"]
    if example.answer_type in ("closed", "choice"):
        return float(closed_right(answer, truth, example.choices or ()))
    return 1.0 if same_answer(answer, truth) else min(0.5, token_f1(answer, truth))


def finding_f1(text: str, example: Example) -> float:
    """Score a report by its findings, each right in name, side and zone.

    Args:
        text: the report.
        example: with the true findings.
    Returns:
        F1; 1 if nothing is there and nothing is said.
    """
    return compare_findings(final_answer(text), true_findings(example.truth or {}) or ()).f1


def finding_places(text: str, example: Example) -> float:
    """Score where a report puts the findings that it names rightly, whatever else it says.

    Args:
        text: the report.
        example: with the true findings.
    Returns:
        Share of the rightly named findings whose side and zone are right; 0 if none of the true ones is named, 1 if
        there is none.
    """
    truth = true_findings(example.truth or {}) or frozenset()
    if not truth:
        return 1.0
    named = compare_findings(final_answer(text), truth, places=False).shared
    return compare_findings(final_answer(text), truth).shared / named if named else 0.0


def no_prior(text: str, example: Example) -> float:
    """Score that nothing is compared with an examination that is not there.

    Args:
        text: the answer or report.
        example: two images or more mean that there is a prior.
    Returns:
        1, or 0 if a single image's answer speaks of change.
    """
    return float(len(example.images) > 1 or not change_sentences(final_answer(text)))


def think_format(text: str, example: Example) -> float:
    """Score the form <think>…</think><answer>…</answer>, each once and nothing outside.

    Args:
        text: the answer.
        example: not read.
    Returns:
        1 or 0.
    """
    del example
    found = _THOUGHT.fullmatch(text)
    return float(found is not None and not re.search(r"</?(?:think|answer)>", found["thought"] + found["answer"]))


def brevity(text: str, example: Example) -> float:
    """Score that an answer is not much longer than the true one.

    Args:
        text: the answer.
        example: with the true answer.
    Returns:
        1 up to 1.2 times its words, falling in a straight line to 0 at 2.4 times.
    """
    true = max(1, len(answer_tokens(example.messages[-1]["content"])))
    ratio = len(answer_tokens(final_answer(text))) / true
    return min(1.0, max(0.0, (2.4 - ratio) / 1.2))


def _is_question(example: Example) -> bool:
    return example.task == "vqa" and example.answer_type in ("closed", "choice", "open")


def _is_judged_report(example: Example) -> bool:
    return example.answer_type == "report" and true_findings(example.truth or {}) is not None


REWARDS: dict[str, Reward] = {
    "answer_match": Reward(answer_match, _is_question, "a question of the task vqa"),
    "finding_f1": Reward(finding_f1, _is_judged_report, "a report whose `truth` lists its findings"),
    "finding_places": Reward(finding_places, _is_judged_report, "a report whose `truth` lists its findings"),
    "no_prior": Reward(no_prior, lambda example: True, "anything"),
    "think_format": Reward(think_format, lambda example: True, "anything"),
    "brevity": Reward(brevity, lambda example: True, "anything"),
}
"""Name in a recipe to the reward."""
