"""Ways to put a question to a model: each is an `Asks`, so that controls and corruptions are asked in the same way.

Reports are asked for as they are, whatever the strategy. The question itself decides what there is to choose from,
so every strategy ends with an answer among the same options as zero-shot.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from assistant.confidence import Kind
from assistant.conversation import Question
from assistant.imaging.picture import Picture
from assistant.questions import matching_option, options_of
from training.evaluation.answers import Asker, Asks, Put, Reply, Request
from training.evaluation.items import MODALITY_QUESTION, REGION_QUESTION, Item
from training.evaluation.settings import SHOT_STRATEGIES, EvaluationSettings
from training.evaluation.shots import Shots, read_pool, with_examples
from training.metrics import first_option, normalise_answer

STEP_BY_STEP = "Think step by step about what the image shows. Then write 'Answer:' and the answer."
DESCRIBE = "Describe what the image shows that bears on this question. Do not answer it yet."
FINDING_QUESTION = "What abnormality is seen?"
_ANSWER = re.compile(r"(?:final )?answer(?: is)?\s*:?\s*", re.IGNORECASE)


def make_strategy(
    asker: Asker, settings: EvaluationSettings, items: Sequence[Item], load: Callable[[Path], Picture]
) -> Asks:
    """Return what the settings ask for.

    Args:
        asker: of the model.
        settings: name of the strategy, and its numbers.
        items: what will be asked; no example may be of their patients.
        load: reads a picture.

    Returns:
        The asker itself for zero-shot.

    Raises:
        DataError: the file of examples holds none that can be used.
    """
    if settings.strategy in SHOT_STRATEGIES and settings.examples is not None:
        pool = read_pool(settings.examples, items)
        nearest = settings.strategy == "few-shot-knn"
        return FewShot(asker, Shots(asker, pool, load, nearest=nearest, count=settings.shots))
    if settings.strategy == "self-consistency":
        return SelfConsistency(asker, settings.samples, settings.temperature)
    if settings.strategy == "choice-shuffle":
        return ChoiceShuffle(asker, settings.samples)
    plain = {"chain-of-thought": ChainOfThought, "rationale": Rationale, "modular": Modular}
    return plain[settings.strategy](asker) if settings.strategy in plain else asker


class _Around:
    """Asks questions in another way, and everything else as it is."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Return a reply to each request, in order."""
        questions = [row for row, request in enumerate(requests) if isinstance(request, Question)]
        others = [row for row in range(len(requests)) if row not in set(questions)]
        asked = [request for request in requests if isinstance(request, Question)]
        replies = dict(zip(questions, self._questions(asked), strict=True)) if asked else {}
        rest = self._asker.ask([requests[row] for row in others]) if others else []
        replies.update(zip(others, rest, strict=True))
        return [replies[row] for row in range(len(requests))]

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        raise NotImplementedError


class FewShot(_Around):
    """Puts worked examples before each question (Brown et al., NeurIPS 2020; by likeness: Nori et al., 2023)."""

    def __init__(self, asker: Asker, shots: Shots) -> None:
        super().__init__(asker)
        self._shots = shots

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        puts = [Put(with_examples(self._asker, one, self._shots.choose(one)), one) for one in questions]
        return self._asker.ask(puts)


class ChainOfThought(_Around):
    """Lets the model think in words, and reads the answer out of its text (Kojima et al., NeurIPS 2022)."""

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        replies = self._asker.ask([thinking(one) for one in questions])
        return [_concluded(self._asker, one, reply) for one, reply in zip(questions, replies, strict=True)]


class SelfConsistency(_Around):
    """Samples several chains of thought and takes the answer that most of them give (Wang et al., ICLR 2023).

    The confidence is the share of the votes, as it is: the model's calibration was fitted to other numbers.
    """

    def __init__(self, asker: Asker, samples: int, temperature: float) -> None:
        super().__init__(asker)
        self._sampling = [asker.variant(temperature=temperature, seed=seed) for seed in range(samples)]

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        puts = [thinking(one) for one in questions]
        drawn = [asker.ask(puts) for asker in self._sampling]
        return [
            self._voted(question, [_concluded(self._asker, question, replies[row]) for replies in drawn])
            for row, question in enumerate(questions)
        ]

    def _voted(self, question: Question, replies: Sequence[Reply]) -> Reply:
        votes = Counter(normalise_answer(reply.text) for reply in replies if reply.text.strip())
        seconds = sum(reply.seconds for reply in replies)
        if not votes:
            return replace(replies[0], seconds=seconds)
        wanted, count = votes.most_common(1)[0]
        winner = next(reply for reply in replies if normalise_answer(reply.text) == wanted)
        kind: Kind = "closed" if options_of(question) else "open"
        voted = self._asker.judged(winner, winner.text, count / len(replies), kind, calibrated=True)
        return replace(voted, seconds=seconds)


class ChoiceShuffle(_Around):
    """Shows the choices in several orders and averages their shares (Nori et al., 2023, Medprompt).

    Open and yes-or-no questions are asked once, as they are.
    """

    def __init__(self, asker: Asker, samples: int) -> None:
        super().__init__(asker)
        self._samples = samples

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        puts: list[Request] = []
        rows: list[int] = []
        for row, question in enumerate(questions):
            for put in self._orders(question):
                puts.append(put)
                rows.append(row)
        gathered: dict[int, list[Reply]] = defaultdict(list)
        for row, reply in zip(rows, self._asker.ask(puts), strict=True):
            gathered[row].append(reply)
        return [self._averaged(gathered[row]) for row in range(len(questions))]

    def _orders(self, question: Question) -> list[Request]:
        options = list(options_of(question))
        if len(options) < 3 and not question.options:
            return [question]
        lot, seen = random.Random(question.text), {tuple(options)}
        while len(seen) < self._samples and len(seen) < _orderings(len(options)):
            lot.shuffle(options)
            seen.add(tuple(options))
        return [Put(reordered(question, order), question) for order in sorted(seen)]

    def _averaged(self, replies: Sequence[Reply]) -> Reply:
        if len(replies) == 1:
            return replies[0]
        total: dict[str, float] = defaultdict(float)
        for reply in replies:
            for option, share in reply.shares:
                total[option] += share / len(replies)
        best = max(total, key=lambda option: total[option])
        mean = self._asker.judged(replies[0], best, total[best], "closed")
        return replace(mean, shares=tuple(total.items()), seconds=sum(reply.seconds for reply in replies))


class Rationale(_Around):
    """Asks for a description first, then the question with that description before it (Zhang et al., TMLR 2024)."""

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        first = [Put(replace(one, text=f"{one.text}\n{DESCRIBE}"), one, free=True) for one in questions]
        rationales = self._asker.ask(first)
        return _with_context(self._asker, questions, [[f"Description: {one.text}"] for one in rationales], rationales)


class Modular(_Around):
    """Asks for modality, region and abnormality first, then the question with these answers before it.

    After the modules of MC-CoT (Wei et al., 2024), with one model in all of them.
    """

    def _questions(self, questions: Sequence[Question]) -> list[Reply]:
        known: dict[str, list[Reply]] = {}
        for name, text in (
            ("Kind of image", MODALITY_QUESTION),
            ("Body region", REGION_QUESTION),
            ("Abnormality", FINDING_QUESTION),
        ):
            known[name] = self._asker.ask([Question(text, one.pictures) for one in questions])
        contexts = [
            [f"{name}: {replies[row].text}" for name, replies in known.items()] for row in range(len(questions))
        ]
        spent = [
            replace(known["Abnormality"][row], seconds=sum(replies[row].seconds for replies in known.values()))
            for row in range(len(questions))
        ]
        return _with_context(self._asker, questions, contexts, spent)


def thinking(question: Question) -> Put:
    """Return a question that asks for steps of thought before the answer."""
    return Put(replace(question, text=f"{question.text}\n{STEP_BY_STEP}"), question, free=True)


def conclusion(text: str, options: Sequence[str]) -> str:
    """Return the answer that a text of thought ends with.

    Args:
        text: what the model wrote.
        options: the answers to choose from; none for an open question.

    Returns:
        What stands behind the last "Answer:", else the whole text; of it the option that it is or names first, and
        the words themselves where there are no options or none is named.
    """
    marks = list(_ANSWER.finditer(text))
    said = text[marks[-1].end() :].strip() if marks and text[marks[-1].end() :].strip() else text.strip()
    said = said.splitlines()[0].strip() if said else ""
    if not options:
        return said
    return matching_option(said, options) or first_option(said, options) or first_option(text, options) or said


def reordered(question: Question, order: Sequence[str]) -> Question:
    """Return a question whose choices are shown in another order.

    Args:
        question: with choices, in its text or beside it.
        order: the same choices.

    Returns:
        Its text with the choices it names exchanged, or, where it names none, with other `options`.
    """
    options = options_of(question)
    found = re.compile("|".join(rf"\b{re.escape(one)}\b" for one in sorted(options, key=len, reverse=True)), re.I)
    named = {match.group().lower() for match in found.finditer(question.text)}
    if named != {one.lower() for one in options}:
        return replace(question, options=tuple(order))
    other = {old.lower(): new for old, new in zip(options, order, strict=True)}

    def swap(match: re.Match[str]) -> str:
        new = other[match.group().lower()]
        return new.lower() if match.group()[0].islower() else new

    return replace(question, text=found.sub(swap, question.text), options=tuple(order) if question.options else ())


def _concluded(asker: Asker, question: Question, reply: Reply) -> Reply:
    options = options_of(question)
    answer = conclusion(reply.text, options)
    return asker.judged(reply, answer, reply.confidence, "closed" if options else "open", calibrated=True)


def _with_context(
    asker: Asker, questions: Sequence[Question], contexts: Sequence[list[str]], spent: Sequence[Reply]
) -> list[Reply]:
    """Ask questions with lines of context before them, as many of the first words as the prompt has room for."""
    puts = []
    for question, lines in zip(questions, contexts, strict=True):
        words = " ".join(lines).split()
        while words and asker.room(replace(question, text=f"{' '.join(words)}\n{question.text}")) < 0:
            words = words[: len(words) * 3 // 4]
        puts.append(Put(replace(question, text=f"{' '.join(words)}\n{question.text}") if words else question, question))
    replies = asker.ask(puts)
    return [replace(one, seconds=one.seconds + before.seconds) for one, before in zip(replies, spent, strict=True)]


def _orderings(count: int) -> int:
    import math

    return math.factorial(count)
