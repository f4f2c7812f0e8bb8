import json

import pytest

from assistant.errors import RetrievalError
from retrieval.corpus import read_corpora
from retrieval.dedup import Seen
from retrieval.passage import Passage
from retrieval.reading import Faults, Tally

GOOD = {"id": "a", "source": "Book", "title": "Title here", "text": "One sentence.", "licence": "CC0-1.0"}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_cards_first_chunk_has_its_id_and_its_summary_and_later_chunks_their_heading(corpus):
    first, second = [passage for passage in corpus.passages if passage.document == "pneumothorax"]
    assert (first.id, first.section, first.modality) == ("pneumothorax", None, "X-ray")
    assert first.text.startswith("Pneumothorax is air in the pleural space. A thin white")
    assert (second.id, second.heading) == ("pneumothorax#1", "Pneumothorax on a chest X-ray (pitfalls)")
    assert first.keywords == ("collapsed lung",)
    assert second.references == ("Author A. A work. Publisher, 2001.",)


def test_any_modality_is_none(corpus):
    assert {passage.modality for passage in corpus.passages if passage.document == "dose"} == {None}


def test_every_fault_of_every_record_is_named_with_its_place(tmp_path):
    path = write(
        tmp_path / "c.jsonl", {**GOOD, "licence": ""}, {**GOOD, "id": 7}, {**GOOD, "id": "b", "modality": "sonar"}
    )
    with pytest.raises(RetrievalError, match="3 fault") as caught:
        read_corpora([path])
    message = str(caught.value)
    assert f"{path}:1: licence is ''; every record needs it, or give --licence." in message
    assert f"{path}:2: id is 7; write it as text." in message
    assert f"{path}:3: modality is 'sonar'; use one of X-ray" in message


def test_a_line_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a",\n', encoding="utf-8")
    with pytest.raises(RetrievalError, match=r"c\.jsonl:1: column \d+ .* write one JSON object a line"):
        read_corpora([path])


def test_a_card_whose_head_is_broken_is_named(cards):
    card = cards / "dose.md"
    card.write_text(card.read_text().replace("id: dose", "id: other").replace("licence:", "license:"), encoding="utf-8")
    with pytest.raises(RetrievalError, match="2 corpus|fault") as caught:
        read_corpora([cards])
    assert "dose.md:2: id is 'other'; make it the file's name, dose." in str(caught.value)
    assert "dose.md:1: licence is None; every card needs it." in str(caught.value)
    assert "license is 'Apache-2.0'; no such field" in str(caught.value)


def test_yaml_that_cannot_be_parsed_is_named_with_its_line(cards):
    card = cards / "dose.md"
    card.write_text(
        card.read_text().replace('title: "Radiation dose in imaging"', "title: Dose: much"), encoding="utf-8"
    )
    with pytest.raises(RetrievalError, match=r"dose\.md:3: head .* quote text with a colon"):
        read_corpora([cards])


def test_the_same_id_twice_is_a_fault(tmp_path):
    path = write(tmp_path / "c.jsonl", GOOD, {**GOOD, "text": "Another."})
    with pytest.raises(RetrievalError, match="id is 'a'; another passage has it already"):
        read_corpora([path])


def test_a_source_that_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(RetrievalError, match=r"nowhere\.jsonl is no corpus"):
        read_corpora([tmp_path / "nowhere.jsonl"])


def test_an_empty_corpus_is_refused(tmp_path):
    with pytest.raises(RetrievalError, match="The corpus is empty"):
        read_corpora([tmp_path])


def test_long_text_is_chunked_within_the_budget_and_keeps_title_and_parent(tmp_path):
    text = " ".join(f"Sentence number {number} has six words." for number in range(40))
    path = write(tmp_path / "c.jsonl", {**GOOD, "text": text})
    chunks = read_corpora([path], budget=30).passages
    assert all(len(chunk.text.split()) <= 30 for chunk in chunks)
    assert " ".join(chunk.text for chunk in chunks) == text
    assert {(chunk.title, chunk.parent) for chunk in chunks} == {("Title here", "a")}
    assert [chunk.id for chunk in chunks[:2]] == ["a#0", "a#1"]


def test_length_is_counted_by_the_function_given(tmp_path):
    path = write(tmp_path / "c.jsonl", {**GOOD, "text": "Aaaa bbbb. Cccc dddd."})
    chunks = read_corpora([path], budget=10, count_tokens=len).passages
    assert [chunk.text for chunk in chunks] == ["Aaaa bbbb.", "Cccc dddd."]


def test_duplicates_are_found_through_case_and_punctuation(tmp_path):
    path = write(
        tmp_path / "c.jsonl", GOOD, {**GOOD, "id": "b", "text": "ONE  sentence"}, {**GOOD, "id": "c", "text": "Two."}
    )
    corpus = read_corpora([path])
    assert [passage.id for passage in corpus.passages] == ["a", "c"]
    assert corpus.duplicates == 1


def test_cases_with_pictures_are_never_duplicates():
    case = Passage("x", "case", "Case", "Clear.", "s", "CC0-1.0", image="x.png")
    other = Passage("y", "case", "Case", "Clear.", "s", "CC0-1.0", image="y.png")
    with Seen(None) as seen:
        assert list(seen.new([case, other], Faults(), Tally())) == [case, other]


def test_a_cases_patient_is_kept_only_as_a_key(cases):
    passages = read_corpora([cases]).passages
    keys = [passage.patient_key for passage in passages]
    assert keys[1] == keys[2] != keys[0]
    assert all("Anna" not in json.dumps(passage.to_dict()) for passage in passages)
    assert passages[0].modality == "X-ray"


def test_cases_of_another_split_are_left_out_and_counted(tmp_path):
    path = write(tmp_path / "c.jsonl", {**GOOD, "split": "train"}, {**GOOD, "id": "b", "text": "Two.", "split": "dev"})
    corpus = read_corpora([path])
    assert ([passage.id for passage in corpus.passages], corpus.skipped) == (["a"], 1)
    assert len(read_corpora([path], split="all").passages) == 2


def test_a_case_without_text_is_told_by_its_labels_or_its_questions(tmp_path, cases):
    base = {"source": "S", "licence": "CC0-1.0", "image": "red.png", "modality": "MRI", "anatomy": "brain"}
    path = write(
        tmp_path / "d.jsonl",
        {**base, "id": "l", "labels": ["glioma"]},
        {**base, "id": "q", "qa": [{"question": "Is it dark?", "answer": "No"}]},
    )
    assert [passage.text for passage in read_corpora([path]).passages] == [
        "MRI of the brain: glioma.",
        "Is it dark? No.",
    ]


def test_a_missing_picture_is_a_fault(tmp_path):
    path = write(tmp_path / "c.jsonl", {**GOOD, "image": "gone.png"})
    with pytest.raises(RetrievalError, match=r"image is 'gone\.png'; there is no such file"):
        read_corpora([path])


def test_a_record_survives_the_way_to_json_and_back(corpus):
    for passage in corpus.passages:
        assert Passage.from_dict(json.loads(json.dumps(passage.to_dict()))) == passage


def test_the_shipped_cards_are_whole():
    corpus = read_corpora(["knowledge"])
    assert len({passage.document for passage in corpus.passages}) >= 80
    assert all(passage.references for passage in corpus.passages)
