"""Trains the starter's two small tokenizers on the project's own texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BPE_SPECIALS = ("<pad>", "<s>", "</s>", "<image>", "<|system|>", "<|user|>", "<|assistant|>")


def train_wordpiece(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Train a lower-case WordPiece tokenizer of BERT's kind, for the text tower.

    Args:
        texts: what it is to cut well.
        size: most entries of the vocabulary.
    Returns:
        The tokenizer, with BERT's special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertTokenizer

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()

    def empty(vocabulary: dict[str, int]) -> Tokenizer:
        made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer, made.decoder = normalizer, splitter, decoders.WordPiece()
        return made

    texts = list(texts)
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    # The trainer numbers inner letters in the random order of a hash table, and settles ties by number. As special
    # tokens they come first and in order, so that equal texts give equal vocabularies; they are special no longer.
    letters = sorted({f"##{letter}" for word in words for letter in word[1:]})
    learner = empty({})
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*specials, *letters], show_progress=False)
    learner.train_from_iterator(texts, trainer)
    tokenizer = empty(learner.get_vocab())
    tokenizer.add_special_tokens(specials)
    ends = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    made: PreTrainedTokenizerFast = BertTokenizer(tokenizer_object=tokenizer, do_lower_case=True, model_max_length=256)
    return made


def train_bpe(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer for the language model; any text survives the round trip.

    Args:
        texts: what it is to cut well.
        size: entries of the vocabulary, special tokens included.
    Returns:
        The tokenizer, with `BPE_SPECIALS`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # Digits one by one: sizes in mm are then read and written digit by digit.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(BPE_SPECIALS),
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>", "<|system|>", "<|user|>", "<|assistant|>"],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
