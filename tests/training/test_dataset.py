"""Examples as tokens: what is supervised, what shares a picture, what sees what."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import DataError
from data_recipes.schema import Example
from training.dataset import (
    IGNORED,
    PictureGroup,
    Tokens,
    Turned,
    choose_questions,
    collate,
    group_by_pictures,
    make_pack,
    names_side,
    picture_weights,
)
from training.tokenizer import train_wordpiece

ROOT = Path("data")


def example(*texts: str, images: tuple[str, ...] = ("a.png",), name: str = "e", **fields: Any) -> Example:
    """Make an example whose texts are the user's and the assistant's in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(texts)]
    values = {"task": "vqa", "answer_type": "open", "source": "own", "licence": "CC0-1.0", **fields}
    return Example(id=name, images=images, messages=messages, **values)


@pytest.fixture
def tokens(tiny_model):
    return Tokens(tiny_model.tokenizer, tiny_model.contract.image_tokens)


def test_only_the_answer_is_supervised(tokens):
    (short,) = tokens.turns(example("Is there a glioma?", "Yes."))
    (long,) = tokens.turns(example("Is there a glioma in this MRI?", "No glioma in this MRI."))
    packs = [make_pack([one], tokens.image_id, 200) for one in (short, long)]
    labels = collate(packs, pad_id=0).labels
    told = [tokens.tokenizer.decode(row[row != IGNORED]) for row in labels]
    assert told == ["Yes.</s>", "No glioma in this MRI.</s>"]


def test_the_prompt_is_what_the_processor_makes_in_use(tokens, tiny_model, make_picture_file):
    from PIL import Image

    asked = example("Is it normal?", "Yes.", images=("a.png", "b.png"))
    (turned,) = tokens.turns(asked)
    message = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Is it normal?"}],
    }
    text = tiny_model.processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    pictures = [Image.open(make_picture_file(number)) for number in range(2)]
    made = tiny_model.processor(images=pictures, text=text, add_special_tokens=False, return_tensors="pt")
    assert list(turned.prompt) == made["input_ids"][0].tolist()
    assert turned.prompt.count(tokens.image_id) == 2 * tiny_model.contract.image_tokens


def test_every_turn_is_asked_once_with_what_was_said_before(tokens):
    first, second = tokens.turns(example("Normal?", "No.", "Why?", "A glioma."))
    assert tokens.tokenizer.decode(first.answer) == "No.</s>"
    assert tokens.tokenizer.decode(second.answer) == "A glioma.</s>"
    assert second.prompt[: len(first.prompt) + len(first.answer)] == first.prompt + first.answer
    assert second.prompt.count(tokens.image_id) == first.prompt.count(tokens.image_id) == tokens.image_tokens


def test_a_template_that_rewrites_the_prompt_is_refused(tokens):
    other = copy.deepcopy(tokens.tokenizer)
    other.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}"
    with pytest.raises(DataError, match=r"example 'e': the chat template does not begin .* Use a template that only"):
        Tokens(other, 4).turns(example("Normal?", "No."))


def test_a_tokenizer_without_picture_token_is_refused():
    with pytest.raises(DataError, match="no token for '<image>'; assemble the model again"):
        Tokens(train_wordpiece(["some words"], 40), 4)


def test_questions_are_gathered_by_their_pictures(tokens):
    asked = [
        example("Side?", "Left.", name="1", truth={"region": "brain"}),
        example("Normal?", "No.", name="2", images=("b.png",)),
        example("Modality?", "MRI", name="3", truth={"region": "brain"}),
        example("What is a glioma?", "A tumour.", name="4", images=()),
    ]
    groups = group_by_pictures([(ROOT, one) for one in asked], tokens)
    assert [group.images for group in groups] == [(ROOT / "a.png",), (ROOT / "b.png",), ()]
    assert [len(group.questions) for group in groups] == [2, 1, 1]
    assert [group.sided for group in groups] == [True, False, False]
    assert groups[0].region == "brain"


@pytest.mark.parametrize(
    ("question", "answer", "sided"),
    [
        ("Where is it?", "In the left, upper zone.", True),
        ("Is there a left-sided effusion?", "Yes", True),
        ("Which side?", "Right", True),
        ("Evidence:\n[1] Glioma: often on the left.\nIs this a glioma?", "Yes [1]", False),
        ("Is it upright?", "Yes", False),
    ],
)
def test_a_picture_is_sided_when_a_question_or_an_answer_names_a_side(question, answer, sided):
    assert names_side(example(question, answer)) is sided


def test_wordings_of_one_answer_are_one_topic_and_each_yes_or_no_its_own(tokens):
    asked = [("Which side?", "Left"), ("On which side is it?", "Left"), ("Is it big?", "Yes"), ("Is it round?", "Yes")]
    topics = [tokens.turns(example(question, answer))[0].topic for question, answer in asked]
    assert topics[0] == topics[1]
    assert len(set(topics)) == 3


def test_to_answer_behind_evidence_is_a_topic_of_its_own(tokens):
    plain, behind = "What is seen?", "Evidence:\n[1] Glioma: a tumour.\nWhat is seen?"
    topics = [tokens.turns(example(question, "Glioma"))[0].topic for question in (plain, behind)]
    assert topics == ["Glioma", "Evidence: Glioma"]


def test_every_topic_comes_before_a_second_wording():
    questions = [Turned((1,), (n,), topic) for n, topic in enumerate("aaaaabbc")]
    for seed in range(20):
        drawn = choose_questions(questions, 5, torch.Generator().manual_seed(seed))
        assert len(drawn) == len({one.answer for one in drawn}) == 5
        assert {one.topic for one in drawn[:3]} == {"a", "b", "c"}
        assert {one.topic for one in drawn[3:]} == {"a", "b"}
    assert len(choose_questions(questions, 100, torch.Generator())) == 8


def with_topics(count, **truth):
    return PictureGroup((), [Turned((1,), (2,), str(n)) for n in range(count)] * 2, truth=truth)


def test_a_picture_is_drawn_by_its_topics_and_values_equally_often_where_asked():
    groups = [with_topics(4, finding="no"), with_topics(2, finding="no"), with_topics(2, finding="yes")]
    assert picture_weights(groups).tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert picture_weights(groups, "finding").tolist() == pytest.approx([1 / 3, 1 / 6, 1 / 2])
    with pytest.raises(DataError, match="balance is 'findings', which no example's truth has; it has finding"):
        picture_weights(groups, "findings")


IMAGE = 9
ONE = Turned((1, IMAGE, IMAGE, 2), (3, 4))
TWO = Turned((1, IMAGE, IMAGE, 5, 6), (7,))


def test_questions_share_the_picture_and_go_on_from_it():
    pack = make_pack([ONE, TWO], IMAGE, 100)
    assert pack.ids.tolist() == [1, IMAGE, IMAGE, 2, 3, 4, 5, 6, 7]
    assert pack.labels.tolist() == [IGNORED] * 4 + [3, 4] + [IGNORED] * 2 + [7]
    assert pack.positions.tolist() == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert pack.branch.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_questions_without_pictures_share_nothing():
    pack = make_pack([Turned((1, 2), (3,)), Turned((1, 4), (5,))], IMAGE, 100)
    assert pack.branch.tolist() == [1, 1, 1, 2, 2, 2]
    assert pack.positions.tolist() == [0, 1, 2, 0, 1, 2]


def test_what_does_not_fit_is_left_out_whole():
    assert make_pack([ONE, TWO], IMAGE, 8).ids.tolist() == [1, IMAGE, IMAGE, 2, 3, 4]
    assert make_pack([ONE, TWO], IMAGE, 9).ids.tolist() == [1, IMAGE, IMAGE, 2, 3, 4, 5, 6, 7]


def test_a_too_long_example_is_refused_rather_than_cut():
    with pytest.raises(DataError, match=r"an example takes 6 tokens, more than `longest` 5\. Raise it"):
        make_pack([ONE], IMAGE, 5)


def test_questions_on_other_pictures_are_refused():
    with pytest.raises(DataError, match="do not begin with the same pictures"):
        make_pack([ONE, Turned((1, IMAGE, 2), (3,))], IMAGE, 100)


def test_a_token_sees_its_branch_and_the_prefix_and_nothing_later():
    batch = collate([make_pack([ONE, TWO], IMAGE, 100), make_pack([ONE], IMAGE, 100)], pad_id=0)
    seen = batch.mask[0, 0]
    assert seen[5].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert seen[8].nonzero()[:, 0].tolist() == [0, 1, 2, 6, 7, 8]
    assert not seen.triu(1).any()
    # Of the shorter row, no token sees padding, and each padding sees itself, so that no row is empty.
    assert not batch.mask[1, 0, :6, 6:].any()
    assert batch.mask[1, 0].diagonal().all()
    assert batch.ids[1].tolist() == [1, IMAGE, IMAGE, 2, 3, 4, 0, 0, 0]
    assert torch.equal(batch.labels[1, 6:], torch.full((3,), IGNORED))


@pytest.fixture
def make_picture_file(tmp_path):
    """Return a function that writes a small grey picture."""
    from PIL import Image

    def make(number: int) -> Path:
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (40, 30), (number * 60,) * 3).save(path)
        return path

    return make
