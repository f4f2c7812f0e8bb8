"""Instruction examples: what is added follows from the truth, and evidence does not give it away."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from assistant.evidence import Evidence
from assistant.prompts import parse_report
from data_recipes.build import build_data
from data_recipes.instruct import instruct, slug, tidy
from data_recipes.instruct_cards import Cards, is_about
from data_recipes.instruct_words import FINDING_QUESTIONS, LABEL_SETS, words_for
from data_recipes.schema import Example, read_examples, write_examples

BRAIN = LABEL_SETS["brain finding"]
ANSWERS = [label.answer for label in BRAIN.labels.values()]


@pytest.fixture(scope="module")
def cards():
    return Cards.shipped()


def picture(number: int, finding: str, **truth) -> list[Example]:
    """Make three questions on one picture."""
    known = {"modality": "MRI", "region": "brain", "brain finding": finding, **truth}
    asked = [("What is  it?", "a mass"), ("Is it  normal?", "no"), ("Which plane?", "axial")]
    return [
        Example(
            id=f"r{number}#{place}",
            images=(f"images/{number}.png",),
            messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            task="vqa",
            answer_type="open",
            truth=known,
            modality="MRI",
            anatomy="brain",
            source="Own data",
            licence="CC0-1.0",
        )
        for place, (question, answer) in enumerate(asked)
    ]


@pytest.fixture(scope="module")
def made(cards):
    """Instruction examples of 160 pictures, 40 of each finding."""
    labels = list(BRAIN.labels) * 40
    return [
        one
        for number, label in enumerate(labels)
        for one in instruct(picture(number, label), cards, random.Random(number))
    ]


def question(example: Example) -> str:
    return example.messages[0]["content"]


def answer(example: Example) -> str:
    return example.messages[-1]["content"]


def test_ids_are_unique_and_the_given_ones_stay(made):
    ids = [one.id for one in made]
    assert len(set(ids)) == len(ids)
    assert {f"r{number}#{place}" for number in range(160) for place in range(3)} <= set(ids)


def test_the_cards_do_not_depend_on_the_answer(cards):
    for seed in range(100):
        picked = [cards.pick(one, ANSWERS, "MRI", "brain", random.Random(seed))[0] for one in ANSWERS]
        assert all(one == picked[0] for one in picked)


def test_the_right_card_is_shown_as_often_as_each_of_its_rivals(cards):
    # Every finding's card is shown as often when it is right as when it is wrong, within three standard errors.
    right, wrong = Counter(), Counter()
    for seed in range(1200):
        truth = ANSWERS[seed % 4]
        shown, _ = cards.pick(truth, ANSWERS, "MRI", "brain", random.Random(seed))
        for one in ANSWERS:
            if any(is_about(card, one, "brain") for card in shown):
                (right if one == truth else wrong)[one] += 1
    for one in ("Glioma", "Meningioma", "Pituitary tumor"):
        share, rival = right[one] / 300, wrong[one] / 900
        assert 0.2 < rival < 0.8
        assert abs(share - rival) < 3 * (rival * (1 - rival) * (1 / 300 + 1 / 900)) ** 0.5


def test_the_cited_card_is_about_the_answer(made, cards):
    titles = [card.title for card in cards.evidence]
    cited = plain = 0
    for one in made:
        if "Evidence:\n" not in question(one):
            assert not re.search(r"\[\d\]", answer(one))
            continue
        lines = dict(re.findall(r"^\[(\d)\] ([^\n]*)", question(one), re.M))
        # A title may itself hold a colon, so the longest that fits is the card's.
        shown = {n: max((t for t in titles if line.startswith(t)), key=len) for n, line in lines.items()}
        number = re.search(r" \[(\d)\]$", answer(one))
        about = [
            n
            for n, title in shown.items()
            if is_about(card(title, cards), re.sub(r" \[\d\]$", "", answer(one)), "brain")
        ]
        if number:
            cited += 1
            assert number[1] == min(about)
        else:
            plain += 1
            assert not about
    assert cited > 20
    assert plain > 20


def card(title: str, cards: Cards) -> Evidence:
    return next(one for one in cards.evidence if one.title == title)


@pytest.mark.parametrize(
    ("title", "named", "region", "about"),
    [
        ("Glioma on MRI", "Glioma", "brain", True),
        ("Pituitary tumour on MRI", "Pituitary tumor.", "brain", True),
        ("Meningioma on MRI", "Glioma", "brain", False),
        ("Paraglioma", "Glioma", "brain", False),
        ("Normal brain MRI", "Normal", "brain", True),
        ("Normal brain MRI", "Normal", "chest", False),
    ],
)
def test_a_card_is_about_what_its_title_names(title, named, region, about):
    made = Evidence("i", "passage", title, "text", "own", "CC0-1.0", 0.0, "MRI", "brain")
    assert is_about(made, named, region) is about


def test_header_lines_tell_the_truth_or_less(made):
    headers = Counter(line for one in made for line in question(one).splitlines()[:1] if line.startswith("Header:"))
    assert set(headers) == {"Header: MRI.", "Header: MRI, brain."}
    assert 0.1 < sum(headers.values()) / len(made) < 0.25


def test_answers_follow_from_the_truth(made):
    checked = Counter()
    for one in made:
        asked, told = question(one).splitlines()[-1], re.sub(r" \[\d\]$", "", answer(one))
        label = words_for("brain finding", one.truth["brain finding"])
        if one.answer_type == "choice" and "MRI" in one.choices:
            assert told == "MRI"
        elif one.answer_type == "choice":
            assert told == label.answer
            assert told in one.choices == tuple(ANSWERS)
        elif asked.startswith("Does this brain MRI show"):
            assert told == ("Yes" if asked == label.question else "No")
        elif one.task == "report":
            sections = parse_report(told)
            assert sections["technique"].startswith("MRI of the brain")
            assert (sections["findings"], sections["impression"]) == (label.findings, label.impression)
        elif "odality" in asked:
            assert told == "MRI"
        elif asked.startswith("Is this a phantom"):
            assert told == "No"
        else:
            continue
        checked[one.task, one.answer_type] += 1
    assert set(checked) == {("vqa", "choice"), ("vqa", "closed"), ("vqa", "open"), ("report", "report")}


def test_own_labels_are_the_finding_of_questions_and_reports(cards):
    known = {"modality": "X-ray", "region": "knee", "knee finding": "fracture"}
    pictures = [replace(one, truth=known) for one in picture(1, "glioma")]
    told = {question(one).splitlines()[-1]: answer(one) for one in instruct(pictures, cards, random.Random(1))}
    assert set(FINDING_QUESTIONS) & set(told)
    assert all(re.sub(r" \[\d\]$", "", told[one]) == "Fracture" for one in FINDING_QUESTIONS if one in told)
    assert parse_report(told["Write a report."])["impression"] == "Fracture."


def test_modality_questions_have_as_many_yes_as_no(made):
    checks = [
        one for one in made if re.match(r"(Is this( image)? an? |Was this taken by )", question(one).splitlines()[-1])
    ]
    checks = [one for one in checks if one.answer_type == "closed" and "phantom" not in question(one)]
    told = Counter(answer(one) for one in checks)
    assert abs(told["Yes"] - told["No"]) < 0.2 * sum(told.values())
    assert all((answer(one) == "Yes") is ("MRI" in question(one).splitlines()[-1]) for one in checks)


def test_dialogues_join_two_questions(made):
    chats = [one for one in made if one.task == "chat"]
    assert len(chats) == 160
    assert all([message["role"] for message in one.messages] == ["user", "assistant"] * 2 for one in chats)


def test_what_is_not_known_is_not_told(cards):
    own = [Example.from_dict({**one.to_dict(), "truth": {"modality": "CT"}}) for one in picture(0, "glioma")]
    reports = [one for one in instruct(own, cards, random.Random(0)) if one.task == "report"]
    assert reports
    for one in reports:
        assert parse_report(answer(one))["findings"] == "This model cannot name findings on this kind of image."
        assert parse_report(answer(one))["impression"] == "No statement can be made."


def test_texts_are_tidied():
    messages = [{"role": "user", "content": " is  it? "}, {"role": "assistant", "content": "yes,\n  it  is"}]
    assert [one["content"] for one in tidy(messages)] == ["is it?", "Yes,\nit is"]


def test_files_are_named_by_their_source():
    assert slug("Brain-Tumor MRI (Nickparvar)") == "brain-tumor-mri-nickparvar"


def test_the_recipe_writes_a_file_a_source_and_always_the_same(tmp_path):
    from PIL import Image

    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    examples = [one for number in range(4) for one in picture(number, "glioma")]
    for number in range(4):
        Image.new("L", (8, 8), number).save(source / "images" / f"{number}.png")
    write_examples(source / "train.jsonl", examples)
    counts = build_data("instruct", source / "train.jsonl", tmp_path / "out", seed=3, limit=3)
    read = list(read_examples(tmp_path / "out" / "own-data.jsonl"))
    assert counts == {"own-data.jsonl": len(read)}
    assert {one.images for one in read} == {(f"images/{number}.png",) for number in range(3)}
    assert all(path.is_file() for one in read for path in one.image_paths(tmp_path / "out"))
    build_data("instruct", source / "train.jsonl", tmp_path / "again", seed=3, limit=3)
    assert (tmp_path / "again" / "own-data.jsonl").read_bytes() == (tmp_path / "out" / "own-data.jsonl").read_bytes()
