"""What a dry run of `dpo`, `kto` or `grpo` tells, and refuses as the run itself would."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from assistant.errors import DataError
from data_recipes.judged import read_judged
from data_recipes.schema import Example, Preference, read_examples, read_preferences
from training.branches import Branches, check_both_kinds, check_pairs, pair_length, read_judged_pairs, read_pairs
from training.checks import check_ends, check_patients, check_pictures, check_rewards, check_room
from training.dataset import PictureGroup, Tokens, Turned
from training.evaluation.table import markdown_table
from training.grpo_settings import GrpoSettings
from training.kto_settings import KtoSettings
from training.pair_difference import own_tokens
from training.pair_settings import PairSettings
from training.preference_settings import DpoSettings
from training.preview_blocks import (
    Planned,
    joined,
    licences_block,
    memory_block,
    plan,
    prompt_block,
    shown_prompt,
    tokens_block,
    weights_block,
)
from training.reward_settings import RewardSettings
from training.rewards import REWARDS
from training.settings import DataPart

Record = Example | Preference


def preview_dpo(settings: DpoSettings) -> str:
    """Check all that a run of `dpo` needs and say what it would do.

    Args:
        settings: of the run.
    Returns:
        Several lines.
    Raises:
        DataError: images are missing, patients stand on both sides of a split, pairs are too long, an answer has no
            end; a data file is missing or holds nothing.
        ModelError: the model folder is not whole, or it is not there and no preset says what it will be.
    """
    return _preferences(settings, (), ("chosen", "rejected"), settings.shared_weight)


def preview_reward(settings: RewardSettings) -> str:
    """Check all that a run of `reward` needs and say what it would do; faults as in `preview_dpo`.

    Args:
        settings: of the run.
    Returns:
        Several lines.
    """
    return _preferences(settings, settings.held_out, ("better", "worse"))


def _preferences(
    settings: PairSettings, measured: Sequence[Path], called: tuple[str, str], shared_weight: float = 1.0
) -> str:
    """Say what a run on files of preferences would do, with other such files that it measures itself on."""
    planned = plan(settings)
    trained_on = [part.path for part in settings.data]
    records = [list(read_preferences(path)) for path in (*trained_on, *measured)]
    trained = records[: len(trained_on)]
    parts = [*settings.data, *(DataPart(path) for path in measured)]
    _check_data(parts, () if measured else settings.held_out, records, read_preferences)
    if measured:
        check_patients(trained_on, measured, read=read_preferences, read_held_out=read_preferences)
    wrong = [_counted(Counter(one.reason for one in part)) for part in records]
    blocks = [_data_table(settings, trained, ("pairs", "what is wrong", wrong[: len(trained)]), settings.pairs)]
    for path, found, told in zip(measured, records[len(trained) :], wrong[len(trained) :], strict=True):
        blocks.append(f"Measured on {len(found)} pairs of {path.name}: {told}")
    if planned.tokens is not None:
        pairs = [pair for path in (*trained_on, *measured) for pair in read_pairs(path, planned.tokens)]
        check_pairs(pairs, planned.tokens.image_id, settings.longest, planned.context, planned.eos_ids)
        answers = [(called[0], pairs[0].first), (f"{called[1]} ({trained[0][0].reason})", pairs[0].second)]
        blocks += _pairs_blocks(answers, pairs, planned.tokens, settings.longest, called)
        if shared_weight < 1:
            blocks.append(_differences(pairs, planned.tokens, called, shared_weight))
    return _whole(planned, settings, blocks, trained)


def preview_kto(settings: KtoSettings) -> str:
    """Check all that a run of `kto` needs and say what it would do; faults as in `preview_dpo`.

    Args:
        settings: of the run.
    Returns:
        Several lines.
    Raises:
        DataError: see `preview_dpo`; or all answers are of one kind.
    """
    planned = plan(settings)
    judged = [list(read_judged(part.path)) for part in settings.data]
    if any(not part for part in judged):
        empty = next(part.path for part, found in zip(settings.data, judged, strict=True) if not found)
        raise DataError(f"{empty} holds no answers; build it again or take it out of `data:`.")
    records = [[one.example for one in part] for part in judged]
    _check_data(settings.data, settings.held_out, records, lambda path: (one.example for one in read_judged(path)))
    check_both_kinds([one.good for part in judged for one in part])
    counts = [_counted(Counter("wanted" if one.good else "unwanted" for one in part)) for part in judged]
    blocks = [_data_table(settings, records, ("answers", "judged", counts), settings.pairs)]
    if planned.tokens is not None:
        pairs = [pair for part in settings.data for pair in read_judged_pairs(part.path, planned.tokens)[0]]
        check_pairs(pairs, planned.tokens.image_id, settings.longest, planned.context, planned.eos_ids)
        kind = "wanted" if judged[0][0].good else "unwanted"
        answers = [(kind, pairs[0].first), ("of another question, to compare", pairs[0].second)]
        blocks += _pairs_blocks(answers, pairs, planned.tokens, settings.longest, ("judged answer", "other answer"))
    return _whole(planned, settings, blocks, records)


def preview_grpo(settings: GrpoSettings) -> str:
    """Check all that a run of `grpo` needs and say what it would do.

    Args:
        settings: of the run.
    Returns:
        Several lines.
    Raises:
        DataError: see `preview_dpo`; or a reward cannot judge an example, or a prompt leaves no room for an answer.
    """
    planned = plan(settings)
    records = [list(read_examples(part.path)) for part in settings.data]
    for part, found in zip(settings.data, records, strict=True):
        check_rewards(part.path, found, settings.rewards)
    _check_data(settings.data, settings.held_out, records, read_examples)
    counts = [_counted(Counter(one.answer_type for one in part)) for part in records]
    blocks = [_data_table(settings, records, ("examples", "answers", counts), settings.prompts)]
    longest = 0
    if planned.tokens is not None:
        turned = [planned.tokens.turns(one)[-1] for part in records for one in part]
        check_room(turned, settings.max_new_tokens, planned.context)
        check_ends([PictureGroup((), turned)], planned.eos_ids)
        longest = max(len(one.prompt) for one in turned)
        blocks += _drawn_blocks(settings, records[0][0], turned, planned.tokens)
    together = -(-settings.prompts // settings.accumulate)
    length = longest + settings.samples * settings.max_new_tokens
    memory = memory_block(planned, settings, together, length, average=False)
    sources = {(one.source, one.licence) for part in records for one in part}
    return joined([planned.note, *blocks, weights_block(planned.model), memory, licences_block(planned, sources)])


def _check_data(
    data: Sequence[DataPart],
    held_out: Sequence[Path],
    records: Sequence[Sequence[Record]],
    read: Callable[[Path], Iterable[Record]],
) -> None:
    for part, found in zip(data, records, strict=True):
        if not found:
            raise DataError(f"{part.path} holds no preferences; build it again or take it out of `data:`.")
    roots = [part.path.parent for part in data]
    pairs = [(root, found) for root, part in zip(roots, records, strict=True) for found in part]
    check_pictures(sorted({path for root, one in pairs for path in one.image_paths(root)}))
    check_patients([part.path for part in data], held_out, read=read)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())


def _data_table(
    settings: PairSettings | GrpoSettings,
    records: Sequence[Sequence[Record]],
    kinds: tuple[str, str, Sequence[str]],
    each: int,
) -> str:
    total, draws = sum(part.weight for part in settings.data), settings.steps * each
    rows = []
    for part, found, kind in zip(settings.data, records, kinds[2], strict=True):
        share = part.weight / total
        sources = _counted(Counter(one.source for one in found))
        pictures = len({one.images for one in found if one.images})
        seen = f"{draws * share / len(found):.1f}"
        rows.append([part.path.name, sources, str(len(found)), kind, str(pictures), f"{share:.1%}", seen])
    header = ["file", "source", kinds[0], kinds[1], "pictures", "share of the draws", "times each is drawn"]
    return f"{settings.steps} steps of {each} {kinds[0]}\n\n{markdown_table(header, rows)}"


def _pairs_blocks(
    answers: Sequence[tuple[str, Turned]],
    pairs: Sequence[Branches],
    tokens: Tokens,
    longest: int,
    names: tuple[str, str],
) -> list[str]:
    lengths = {
        "prompt": [len(one.first.prompt) for one in pairs],
        names[0]: [len(one.first.answer) for one in pairs],
        names[1]: [len(one.second.answer) for one in pairs],
        "all": [pair_length(one, tokens.image_id) for one in pairs],
    }
    told = f"A picture, a question and both answers hold {longest} tokens at most (`longest`); nothing is cut."
    return [prompt_block(pairs[0].first.name, answers, tokens), tokens_block(lengths, told)]


def _differences(pairs: Sequence[Branches], tokens: Tokens, names: tuple[str, str], weight: float) -> str:
    """Tell what of the answers counts in full, and show it in the first pair."""
    found = [own_tokens(one.first.answer, one.second.answer) for one in pairs]
    shares = [f"{statistics.median(sum(own[side]) for own in found):g} of {names[side]}" for side in (0, 1)]
    lines = [
        f"Tokens that both answers of a pair have count {weight:g} (`shared_weight`), what differs 1: in the median "
        f"{' and '.join(shares)}. In the example:"
    ]
    for name, turned, own in zip(names, (pairs[0].first, pairs[0].second), found[0], strict=True):
        runs = [
            (mine, [one for one, _ in run])
            for mine, run in groupby(zip(turned.answer, own, strict=True), itemgetter(1))
        ]
        texts = ((mine, str(tokens.tokenizer.decode(run))) for mine, run in runs)
        lines.append(f"  {name}: " + "".join(f"⟦{text}⟧" if mine else text for mine, text in texts))
    return "\n".join(lines)


def _drawn_blocks(settings: GrpoSettings, example: Example, turned: Sequence[Turned], tokens: Tokens) -> list[str]:
    truth = example.messages[-1]["content"]
    known = f"; truth {example.truth}" if example.truth else ""
    checked = ((name, by) for name, by in settings.rewards.items() if name in REWARDS)
    scores = [f"{name} {REWARDS[name].score(truth, example):g} x {by:g}" for name, by in checked]
    lines = [
        f"One example ({example.id}); {settings.samples} answers are drawn to it:",
        shown_prompt(turned[0], tokens),
        f"The rewards compare them with: {truth}{known}",
        f"That answer itself would get: {', '.join(scores)}",
    ]
    lengths = {"prompt": [len(one.prompt) for one in turned], "true answer": [len(one.answer) for one in turned]}
    told = f"A drawn answer has {settings.max_new_tokens} tokens at most (`max_new_tokens`)."
    return ["\n".join(lines), tokens_block(lengths, told)]


def _whole(planned: Planned, settings: PairSettings, blocks: Sequence[str], records: Sequence[Sequence[Record]]) -> str:
    together = -(-settings.pairs // settings.accumulate)
    memory = memory_block(planned, settings, together, settings.longest, average=bool(settings.average))
    sources = {(one.source, one.licence) for part in records for one in part}
    return joined([planned.note, *blocks, weights_block(planned.model), memory, licences_block(planned, sources)])
