import pytest
import torch

from assistant import prompts
from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generated, Generator, whole_words

ASKED = (
    ("Is there a glioma in this MRI?", (0,)),
    ("benign?", (1,)),
    ("Compare the right lung with the left lung.", (2, 3)),
    ("What is a glioma?", ()),
    ("Is the left lung clear or is there something else to see in it?", (3,)),
)


@pytest.fixture(scope="module")
def pictures(make_picture):
    return [make_picture(seed, width=30 + seed) for seed in range(4)]


@pytest.fixture(scope="module")
def generator(tiny_model):
    return Generator(tiny_model, GenerationConfig(max_new_tokens=24, batch_size=8))


@pytest.fixture(scope="module")
def asked(tiny_model, generator, pictures):
    features = PictureEncoder(tiny_model).encode(pictures)
    return [
        generator.encoder.encode(prompts.conversation(text, images=len(which)), [features[one] for one in which])
        for text, which in ASKED
    ]


@pytest.fixture(scope="module")
def expected(tiny_model, pictures):
    """The tokens of Hugging Face's own `generate`, each question alone, pictures encoded in place."""
    answers = []
    for text, which in ASKED:
        rendered = tiny_model.processor.apply_chat_template(
            prompts.conversation(text, images=len(which)), tokenize=False, add_generation_prompt=True
        )
        squares = [pictures[one].squared() for one in which] or None
        inputs = tiny_model.processor(text=rendered, images=squares, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            out = tiny_model.llava.generate(**inputs, max_new_tokens=24, do_sample=False)
        answers.append(out[0, inputs["input_ids"].shape[1] :].tolist())
    return answers


def test_a_batch_gives_the_tokens_of_generate(generator, asked, expected, tiny_model):
    end = tiny_model.tokenizer.eos_token_id
    for made, wanted in zip(generator.generate(asked), expected, strict=True):
        assert [*made.ids, *([end] if made.finished else [])] == wanted


def test_one_question_alone_gives_what_it_gives_in_a_batch(generator, asked):
    together = generator.generate(asked)
    for prompt, row in zip(asked, together, strict=True):
        alone = generator.generate([prompt])[0]
        assert alone.ids == row.ids
        assert alone.log_probs == pytest.approx(row.log_probs, abs=1e-4)


def test_the_answer_depends_on_the_picture(generator, tiny_model, pictures):
    features = PictureEncoder(tiny_model).encode(pictures)
    messages = prompts.conversation("Is there a glioma?", images=1)
    made = generator.generate([generator.encoder.encode(messages, [one]) for one in features])
    assert len({one.ids for one in made}) > 1


def test_a_row_that_ends_leaves_the_others_as_they_are(tiny_model, generator, asked):
    """The token that one row writes third becomes an end token, so rows end at different steps."""
    whole = generator.generate(asked)
    early = Generator(tiny_model, GenerationConfig(max_new_tokens=24, batch_size=8))
    early._ends = early._ends | {whole[0].ids[2]}
    cut = early.generate(asked)
    assert cut[0].ids == whole[0].ids[:2]
    assert cut[0].finished
    assert len(cut[0].log_probs) == 3
    for short, long in zip(cut, whole, strict=True):
        assert short.ids == long.ids[: len(short.ids)]


def test_pieces_of_a_stream_join_to_the_text(generator, asked):
    for prompt in asked:
        *pieces, last = generator.stream(prompt)
        assert isinstance(last, Generated)
        assert "".join(pieces) == last.text == generator.generate([prompt])[0].text
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("Pleural eff", "Pleural"),
        ("Pleural effusion ", "Pleural effusion"),
        ("No", ""),
        ("a b\ufffd c", "a b"),
        ("", ""),
    ],
)
def test_only_whole_words_are_sent(text, stable):
    assert whole_words(text) == stable


def test_option_scores_are_the_sum_over_the_tokens_of_the_whole_answer(generator, asked, tiny_model, pictures):
    options = ["Yes", "No", "A glioma is there"]
    prompt = asked[4]
    scores = generator.score_options(prompt, options)
    for option, score in zip(options, scores, strict=True):
        tail = generator.encoder.continuation(prompt, option)
        ids = torch.tensor([[*prompt.ids, *tail]])
        with torch.inference_mode():
            logits = tiny_model.llava(input_ids=ids, pixel_values=tiny_model.pixel_values([pictures[3]])).logits
        steps = torch.log_softmax(logits[0, len(prompt.ids) - 1 : -1].float(), dim=-1)
        assert score == pytest.approx(steps[range(len(tail)), tail].sum().item(), abs=1e-3)


def test_scoring_options_changes_no_answer(generator, asked):
    options = [["Yes", "No"], ["Benign", "A malignant lesion"], [], ["left"], ["Yes", "No"]]
    made = generator.answer(asked, options)
    assert [one.ids for one, _ in made] == [one.ids for one in generator.generate(asked)]
    for prompt, choices, (_, scores) in zip(asked, options, made, strict=True):
        assert scores == pytest.approx(generator.score_options(prompt, choices), abs=1e-3)


def test_more_options_than_one_pass_takes_are_all_scored(generator, asked):
    options = [f"left lung {number}" for number in range(70)]
    scores = generator.score_options(asked[1], options)
    assert scores[66] == pytest.approx(generator.score_options(asked[1], options[66:67])[0], abs=1e-3)


def test_sampling_with_a_seed_is_the_same_alone_and_in_a_batch(tiny_model, asked):
    drawn = Generator(tiny_model, GenerationConfig(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=3))
    together = drawn.generate(asked)
    assert [drawn.generate([prompt])[0].ids for prompt in asked] == [one.ids for one in together]
    other = Generator(tiny_model, GenerationConfig(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=4))
    assert [one.ids for one in other.generate(asked)] != [one.ids for one in together]


def test_a_very_small_top_p_takes_the_likeliest_token(tiny_model, generator, asked):
    sure = Generator(tiny_model, GenerationConfig(max_new_tokens=24, temperature=1.0, top_p=1e-6))
    assert [one.ids for one in sure.generate(asked)] == [one.ids for one in generator.generate(asked)]


def test_no_answer_grows_past_the_context(tiny_model):
    generator = Generator(tiny_model, GenerationConfig(max_new_tokens=100))
    prompt = generator.encoder.encode(prompts.conversation("x " * 120), [])
    made = generator.generate([prompt])[0]
    assert len(prompt.ids) + len(made.ids) <= generator.encoder.context


def test_no_prompt_gives_no_answer(generator):
    assert generator.generate([]) == []
