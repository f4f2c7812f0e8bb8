"""The two small tokenizers."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from training.tokenizer import BPE_SPECIALS, train_bpe, train_wordpiece

TEXTS = ["A glioma of 12 mm in the left brain.", "No glioma. The lungs are clear."] * 4


@pytest.fixture(scope="module")
def bpe():
    return train_bpe(TEXTS, 320)


@pytest.mark.parametrize("text", ["A glioma of 345 mm.", "naïve 脳 \n tab\t", "<b>", ""])
def test_any_text_survives_the_round_trip(bpe, text):
    assert bpe.decode(bpe(text, add_special_tokens=False)["input_ids"]) == text


def test_digits_stand_alone(bpe):
    pieces = bpe.tokenize("12345 mm")
    assert pieces[:5] == list("12345")


def test_special_tokens_are_single_and_first(bpe):
    assert [bpe.convert_tokens_to_ids(one) for one in BPE_SPECIALS] == list(range(len(BPE_SPECIALS)))
    assert bpe("<|user|><image>A<|assistant|>", add_special_tokens=False)["input_ids"][:2] == [5, 3]
    assert (bpe.pad_token, bpe.bos_token, bpe.eos_token) == ("<pad>", "<s>", "</s>")
    assert len(bpe) <= 320


def test_equal_texts_give_equal_vocabularies():
    first = train_wordpiece(TEXTS, 70)
    assert all(train_wordpiece(TEXTS, 70).get_vocab() == first.get_vocab() for _ in range(5))
    assert all(train_bpe(TEXTS, 320).get_vocab() == train_bpe(TEXTS, 320).get_vocab() for _ in range(3))


def test_inner_letters_are_no_words_of_their_own():
    made = train_wordpiece(TEXTS, 80)
    assert made.tokenize("##a") == ["[UNK]", "[UNK]", "a"]
    assert made.tokenize("[SEP]") == ["[SEP]"]


def test_wordpiece_is_as_berts(tmp_path):
    made = train_wordpiece(TEXTS, 80)
    ids = made("The GLIOMA", "is clear")["input_ids"]
    tokens = made.convert_ids_to_tokens(ids)
    assert (tokens[0], tokens[-1], tokens.count("[SEP]")) == ("[CLS]", "[SEP]", 2)
    assert made("the glioma")["input_ids"] == made("THE GLIOMA")["input_ids"]
    assert made.pad_token_id == 0
    assert len(made) <= 80
    made.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("The glioma")["input_ids"] == made("The glioma")["input_ids"]
