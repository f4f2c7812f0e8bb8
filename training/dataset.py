"""Examples into token sequences with a loss on answers only, several questions about one picture sharing its tokens.

A *pack* is one sequence: the picture's tokens once (the prefix), then one branch a question. A branch sees the prefix
and itself, never another branch, and its positions go on from the prefix. The loss of a pack is therefore the sum of
the losses of its examples taken one by one, at a fraction of the work.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assistant.errors import DataError
from assistant.prompts import assistant_message, user_message
from data_recipes.schema import Example
from training.joined import seen

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100

_SIDE = re.compile(r"\b(?:left|right)", re.IGNORECASE)


@dataclass(frozen=True)
class Turned:
    """One question of one example as tokens: `prompt` (pictures expanded) and `answer` (with its end token)."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    topic: str = ""
    """What it teaches: questions of one topic about one picture are wordings of the same."""
    name: str = ""
    """Id of the example."""


@dataclass
class PictureGroup:
    """All questions about one tuple of pictures; `images` is empty for questions without any."""

    images: tuple[Path, ...]
    questions: list[Turned] = field(default_factory=list)
    sided: bool = False
    """Some question or answer names left or right, so the pictures are never mirrored."""
    drawn: bool = False
    """Phantoms: their sizes and places are exact, so their geometry is never changed."""
    truth: dict[str, Any] = field(default_factory=dict)

    @property
    def region(self) -> str:
        """Body region, empty if it is not known."""
        return str(self.truth.get("region", ""))


class Tokens:
    """Turns conversations into ids the way the model will meet them in use.

    Args:
        tokenizer: of the model, with its chat template.
        image_tokens: how many tokens one picture takes.
    Raises:
        DataError: the tokenizer has no single token for "<image>".
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, image_tokens: int) -> None:
        self.tokenizer, self.image_tokens = tokenizer, image_tokens
        found = tokenizer.convert_tokens_to_ids("<image>")
        if not isinstance(found, int) or found == tokenizer.unk_token_id:
            raise DataError("the tokenizer has no token for '<image>'; assemble the model again (training.assemble).")
        self.image_id = found

    def turns(self, example: Example) -> list[Turned]:
        """Turn an example into prompts and answers.

        Args:
            example: any number of turns.
        Returns:
            One for every assistant turn; the prompt of a later one holds the earlier ones.
        Raises:
            DataError: the chat template does not render the prompt as the beginning of the whole.
        """
        return self._turns(example.messages, example)

    def answered(self, example: Example, answer: str) -> Turned:
        """Return an example's last question with another answer.

        Args:
            example: its own last answer is not read.
            answer: any text, such as one that a model wrote: it may be empty, and a picture's placeholder is cut out.
        Returns:
            Prompt and answer.
        """
        said = {"role": "assistant", "content": answer.replace("<image>", "")}
        return self._turns([*example.messages[:-1], said], example)[-1]

    def _turns(self, given: Sequence[dict[str, str]], example: Example) -> list[Turned]:
        messages: list[dict[str, Any]] = []
        result = []
        waiting = len(example.images)
        for message in given:
            if message["role"] == "assistant":
                result.append(self._turn(messages, message["content"], example.id))
                messages.append(assistant_message(message["content"]))
            elif message["role"] == "user":
                messages.append(user_message(message["content"], waiting))
                waiting = 0
            else:
                messages.append({"role": "system", "content": [{"type": "text", "text": message["content"]}]})
        return result

    def _turn(self, messages: list[dict[str, Any]], answer: str, name: str) -> Turned:
        prompt = self.render(messages, generate=True)
        whole = self.render([*messages, assistant_message(answer)], generate=False)
        if not whole.startswith(prompt):
            raise DataError(
                f"example {name!r}: the chat template does not begin the answered conversation with the prompt, "
                "so the answer cannot be told apart. Use a template that only appends."
            )
        *before, asked = str(messages[-1]["content"][-1]["text"]).splitlines()
        topic = f"{asked} {answer}" if answer.strip(". ").lower() in ("yes", "no") else answer
        # To find the answer behind evidence is another lesson than to find it at all.
        topic = f"Evidence: {topic}" if "Evidence:" in before else topic
        return Turned(tuple(self.encode(prompt)), tuple(self.encode(whole[len(prompt) :])), topic, name)

    def render(self, messages: list[dict[str, Any]], *, generate: bool) -> str:
        """Return a conversation as the template writes it."""
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate))

    def encode(self, text: str) -> list[int]:
        """Return ids with every picture's slot widened to its tokens."""
        ids: list[int] = []
        for one in self.tokenizer(text, add_special_tokens=False)["input_ids"]:
            ids.extend([one] * (self.image_tokens if one == self.image_id else 1))
        return ids


def group_by_pictures(examples: Iterable[tuple[Path, Example]], tokens: Tokens) -> list[PictureGroup]:
    """Gather the questions of each tuple of pictures.

    Args:
        examples: each with the folder of its data file.
        tokens: turns them into ids.
    Returns:
        One group a tuple of pictures, in the order they came; last, if there are any, questions without pictures.
    """
    groups: dict[tuple[Path, ...], PictureGroup] = {}
    lonely = PictureGroup(())
    for root, example in examples:
        images = tuple(example.image_paths(root))
        group = groups.setdefault(images, PictureGroup(images)) if images else lonely
        group.questions.extend(tokens.turns(example))
        group.truth |= example.truth or {}
        group.drawn = bool(group.truth.get("phantom"))
        group.sided |= names_side(example)
    return [*groups.values(), *([lonely] if lonely.questions else [])]


def picture_weights(groups: Sequence[PictureGroup], balance: str | None = None) -> Tensor:
    """Say how often each picture is drawn: the more there is to learn from it, the more often.

    Args:
        groups: of one data file, with their questions.
        balance: a name in the truth; its values are then drawn equally often, with any picture without it as one more.
    Returns:
        (number of groups,), summing to 1.
    Raises:
        DataError: no picture's truth has `balance`.
    """
    amount = torch.tensor([float(len({each.topic for each in one.questions})) for one in groups])
    if balance is not None:
        values = [str(one.truth.get(balance)) for one in groups]
        if not any(balance in one.truth for one in groups):
            known = sorted({name for one in groups for name in one.truth})
            raise DataError(f"balance is {balance!r}, which no example's truth has; it has {', '.join(known)}.")
        for value in set(values):
            same = torch.tensor([one == value for one in values])
            amount[same] /= amount[same].sum()
    return amount / amount.sum()


def names_side(example: Example) -> bool:
    """Tell whether a question or an answer names left or right; evidence lines before the question do not count."""
    texts = (one["content"].splitlines()[-1] if one["role"] == "user" else one["content"] for one in example.messages)
    return any(_SIDE.search(text) for text in texts)


def choose_questions(questions: Sequence[Turned], most: int, generator: torch.Generator) -> list[Turned]:
    """Draw questions, as many topics as possible: a second wording of a topic comes after the first of every other.

    Args:
        questions: of one picture.
        most: how many at the most.
        generator: source of chance.
    Returns:
        In the order in which they are to be packed.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for place, number in enumerate(torch.randperm(len(questions), generator=generator).tolist()):
        topic = questions[number].topic
        ranked.append((seen[topic], place, number))
        seen[topic] += 1
    return [questions[number] for _, _, number in sorted(ranked)[:most]]


@dataclass(frozen=True)
class Pack:
    """One sequence of L tokens: `ids`, `labels` (`IGNORED` but in answers), `positions`, `branch` (0 is the prefix)."""

    ids: Tensor
    labels: Tensor
    positions: Tensor
    branch: Tensor


def make_pack(questions: Sequence[Turned], image_id: int, longest: int) -> Pack:
    """Put questions about the same pictures into one sequence.

    Args:
        questions: at least one; their prompts share the beginning up to the last picture token.
        image_id: the picture token.
        longest: most tokens; questions that do not fit any more are left out, the first always stays.
    Returns:
        The prefix and one branch a question.
    Raises:
        DataError: the first question alone is longer than `longest`.
    """
    shared = _shared_prefix([one.prompt for one in questions], image_id)
    first = len(questions[0].prompt) + len(questions[0].answer)
    if first > longest:
        raise DataError(
            f"an example takes {first} tokens, more than `longest` {longest}. Raise it or shorten the text."
        )
    ids, labels = list(questions[0].prompt[:shared]), [IGNORED] * shared
    positions, branch = list(range(shared)), [0] * shared
    for number, one in enumerate(questions, start=1):
        tail = one.prompt[shared:]
        length = len(tail) + len(one.answer)
        if len(ids) + length > longest:
            continue
        ids += [*tail, *one.answer]
        labels += [IGNORED] * len(tail) + list(one.answer)
        positions += range(shared, shared + length)
        branch += [number] * length
    return Pack(torch.tensor(ids), torch.tensor(labels), torch.tensor(positions), torch.tensor(branch))


def _shared_prefix(prompts: Sequence[tuple[int, ...]], image_id: int) -> int:
    first = prompts[0]
    last_picture = max((i for i, one in enumerate(first) if one == image_id), default=-1)
    shared = last_picture + 1
    if any(one[:shared] != first[:shared] for one in prompts):
        raise DataError(
            "questions of one pack do not begin with the same pictures; group them by their pictures first."
        )
    return shared


@dataclass(frozen=True)
class PackedBatch:
    """B packs padded on the right to L tokens: (B, L) tensors; `branch` as in `Pack`, and -1 where it is padded."""

    ids: Tensor
    labels: Tensor
    positions: Tensor
    branch: Tensor

    @property
    def mask(self) -> Tensor:
        """Which tokens each token sees, bool (B, 1, L, L)."""
        return seen(self.branch)[:, None]


def collate(packs: Sequence[Pack], pad_id: int) -> PackedBatch:
    """Pad packs to the longest."""
    length = max(len(one.ids) for one in packs)

    def padded(name: str, value: int) -> Tensor:
        rows = [torch.nn.functional.pad(getattr(one, name), (0, length - len(one.ids)), value=value) for one in packs]
        return torch.stack(rows)

    return PackedBatch(padded("ids", pad_id), padded("labels", IGNORED), padded("positions", 0), padded("branch", -1))
