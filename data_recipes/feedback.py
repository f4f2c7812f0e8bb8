"""The `feedback` recipe: what people said of answers becomes preference pairs and examples.

A correction is preferred over the answer that it mends: `preferences-train.jsonl`, those that change the findings most
first, for `training.dpo`. Corrections, answers with a thumb up and accepted reports are examples too: `train.jsonl`.
Both come as dev and test too; records of one patient, study or picture stay in one split.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from assistant.errors import AssistantError, DataError
from assistant.feedback.address import address_of
from assistant.feedback.records import Feedback
from assistant.feedback.store import FeedbackStore
from assistant.findings import positive
from assistant.prompts import question_text, report_text
from assistant.review import without_citations
from data_recipes.feedback_pictures import Placer
from data_recipes.own import Options, add_common_options, needed_licence, split_files
from data_recipes.schema import Example, Preference, write_preferences
from data_recipes.splits import assign_split, read_shares

logger = logging.getLogger(__name__)

PAIRS = "preferences-{}.jsonl"


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    add_common_options(options)
    options.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="folder with the images that were asked about: those whose pixels were not kept are found by their hash",
    )
    options.add_argument("--minimum-change", type=int, default=0, metavar="N", help="pairs that change fewer findings "
                         "are left out (default 0)")  # fmt: skip


def build(
    source: Path,
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    link: bool = False,
    licence: str | None = None,
    source_name: str = "feedback",
    shares: str = "train=0.8,dev=0.1,test=0.1",
    pictures: Path | None = None,
    minimum_change: int = 0,
) -> dict[str, int]:
    """Write the preference pairs, the examples of each split, and their pictures.

    Args:
        source: the SQLite file of feedback, or a text file whose one line is a `postgresql://` address.
        out: folder to write into.
        limit: at most this many records, the latest.
        seed: another seed gives another splitting.
        link: not used here: pictures come out of the database.
        licence: terms of the pictures and the texts.
        source_name: name of the data set.
        shares: of the splits.
        pictures: folder in which pictures are found by their hash.
        minimum_change: pairs that change fewer findings are left out.
    Returns:
        File name to its number of records.
    Raises:
        DataError: there is no feedback, or none that can be learned from.
    """
    terms, parts = needed_licence(licence), read_shares(shares)
    store = opened_store(source)
    try:
        records = [one for one in store.all() if _teaches(one)][-(limit or 0) :]
        place = Placer(store, out / "images", pictures, {one.id for one in records})
    finally:
        store.close()
    joined = groups(records)
    pairs: dict[str, list[tuple[int, Preference]]] = {}
    left = Counter[str]()
    with split_files(out) as writer:
        for one in records:
            images = place.images(one)
            if images is None:
                left["their pictures were not kept (--pictures DIR finds them by their hash)"] += 1
                continue
            split = assign_split(joined[one.id], seed, parts)
            example = example_of(one, images, joined[one.id], terms, source_name)
            writer.add(split, example)
            pair, change = pair_of(one, example), findings_changed(one)
            if pair is not None and change < minimum_change:
                left["they change fewer findings than --minimum-change, so they are no pair"] += 1
            elif pair is not None:
                pairs.setdefault(split, []).append((change, pair))
        counts = writer.counts
    _tell(left, len(records), counts)
    return counts | _write_pairs(out, pairs)


def _write_pairs(out: Path, pairs: Mapping[str, list[tuple[int, Preference]]]) -> dict[str, int]:
    """Write the pairs of each split, those that change the findings most first."""
    counts = {}
    for split, found in pairs.items():
        ranked = [pair for _, pair in sorted(found, key=lambda one: (-one[0], one[1].id))]
        counts[PAIRS.format(split)] = write_preferences(out / PAIRS.format(split), ranked)
    return counts


def _tell(left: Mapping[str, int], records: int, counts: Mapping[str, int]) -> None:
    """Say what was left out; refuse to build nothing."""
    for why, count in left.items():
        logger.warning("%d record(s) left out: %s", count, why)
    if not records:
        raise DataError(
            "There is no correction, no thumb up and no accepted report in the feedback, so nothing to learn from."
        )
    if not counts:
        raise DataError(
            f"Of {records} record(s) with a judgement that can be learned from, none is left: {'; '.join(left)}."
        )


def opened_store(source: Path) -> FeedbackStore:
    """Open the feedback that `--source` names.

    Args:
        source: an SQLite file, or a text file with an address, which keeps a password off the command line.
    Returns:
        The store.
    Raises:
        DataError: it is neither.
    """
    with source.open("rb") as stream:
        head = stream.read(4096)
    text = "" if head.startswith(b"SQLite format 3") else head.decode("utf-8", "replace").strip()
    if text and not text.startswith("postgres"):
        raise DataError(f"--source {source} is no feedback database, nor a file with a postgresql:// address in it.")
    try:
        address = address_of(text or str(source))
    except AssistantError as error:
        raise DataError(f"--source {source}: {error}") from error
    assert address is not None
    return FeedbackStore(address)


def _teaches(one: Feedback) -> bool:
    """Whether a right answer is known: corrected, accepted, or told to be right."""
    return bool(one.correction or one.accepted or (one.verdict == "up" and not one.abstained))


def groups(records: Iterable[Feedback]) -> dict[str, str]:
    """Join records that share a patient, a study or a picture.

    Args:
        records: with the keys of their pictures.
    Returns:
        Record id to the key of its group, which is the least of all keys in it.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    own: dict[str, str] = {}
    for one in records:
        keys = [f"picture {picture.content_id}" for picture in one.pictures]
        keys += [f"patient {one.patient_key}"] if one.patient_key else []
        keys += [f"study {one.study_key}"] if one.study_key else []
        # Without a picture the same question must not stand in two splits.
        keys = keys or [f"question {' '.join(one.question.lower().split())}"]
        own[one.id] = keys[0]
        for key in keys[1:]:
            first, second = sorted((root(keys[0]), root(key)))
            parent[second] = first
        root(keys[0])
    return {name: root(key) for name, key in own.items()}


def right_answer(one: Feedback) -> str:
    """Return what should have been answered: the correction, or else the answer, without citations."""
    return one.correction or without_citations(one.answer)


def findings_changed(one: Feedback) -> int:
    """Count the findings, with their sides, that a correction takes away or adds."""
    return len(positive(one.answer) ^ positive(right_answer(one)))


def example_of(one: Feedback, images: Sequence[str], group: str, licence: str, source: str) -> Example:
    """Return a record as an example whose answer is right.

    Args:
        one: that teaches something.
        images: of it, relative to the data file.
        group: what must not be parted, where no patient is known.
        licence: terms.
        source: name of the data set.
    Returns:
        The example.
    """
    report = one.kind == "report"
    if report:
        asked = report_text(indication=one.question or None, has_prior=any(p.role == "prior" for p in one.pictures))
    else:
        asked = question_text(one.question, options=one.options)
    history = [{"role": role, "content": text} for role, text in one.history]
    answer_type = "report" if report else "choice" if one.options else "open"
    return Example(
        id=f"feedback-{one.id}",
        images=tuple(images),
        messages=[*history, {"role": "user", "content": asked}, {"role": "assistant", "content": right_answer(one)}],
        task="report" if report else "vqa",
        answer_type=answer_type,
        choices=one.options or None,
        modality=one.modality,
        anatomy=one.anatomy,
        patient=one.patient_key or one.study_key or group,
        source=source,
        licence=licence,
    )


def pair_of(one: Feedback, example: Example) -> Preference | None:
    """Return the correction as preferred over the answer; None where the model gave no other answer of its own."""
    rejected = without_citations(one.answer)
    if one.abstained or not one.correction or one.correction.split() == rejected.split():
        return None
    changed = findings_changed(one)
    reason = one.reason.replace("_", " ") if one.reason else "corrected by a person"
    return Preference(
        id=f"{example.id}~corrected",
        images=example.images,
        messages=example.messages[:-1],
        chosen=one.correction,
        rejected=rejected,
        reason=f"{reason}; {changed} finding(s) changed",
        source=example.source,
        licence=example.licence,
        modality=example.modality,
        anatomy=example.anatomy,
        patient=example.patient,
    )
