"""Chat templates: ours to the byte, and others' made to take pictures."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from assistant.model.template import PLAIN_TEMPLATE, choose_template

IMAGE: dict[str, str] = {"type": "image"}

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def text(words: str) -> dict[str, str]:
    """One text item of a message."""
    return {"type": "text", "text": words}


def test_the_plain_templates_exact_bytes(tiny_model: Any) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [IMAGE, IMAGE, text("Same\npatient?")]},
        {"role": "assistant", "content": [text("Yes.")]},
        {"role": "user", "content": " Sure? "},
    ]
    rendered = tiny_model.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<s><|system|>Be brief.<|user|><image><image>Same\npatient?<|assistant|>Yes.</s><|user|> Sure? <|assistant|>"
    )


def test_a_prompt_is_a_prefix_of_the_whole_dialogue(tiny_model: Any) -> None:
    question = [{"role": "user", "content": [IMAGE, text("CT?")]}]
    answered = [*question, {"role": "assistant", "content": "Yes."}]
    render = tiny_model.processor.apply_chat_template
    prompt = render(question, tokenize=False, add_generation_prompt=True)
    assert render(answered, tokenize=False) == prompt + "Yes.</s>"


def test_marks_cover_the_answer_and_its_end_alone(tiny_model: Any) -> None:
    tokenizer = tiny_model.tokenizer
    coded = tokenizer.apply_chat_template(
        [{"role": "user", "content": "CT?"}, {"role": "assistant", "content": "Yes."}],
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    marked = [token for token, mark in zip(coded["input_ids"], coded["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked) == "Yes.</s>"


def test_role_and_image_marks_are_one_token_each(tiny_model: Any) -> None:
    marks = ["<image>", "<|system|>", "<|user|>", "<|assistant|>"]
    assert [len(tiny_model.tokenizer.encode(mark, add_special_tokens=False)) for mark in marks] == [1, 1, 1, 1]


def test_an_unknown_role_is_refused(tiny_model: Any) -> None:
    with pytest.raises(jinja2.TemplateError, match="role tool; use system, user or assistant"):
        tiny_model.tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


@pytest.fixture
def tokenizer(tiny_model: Any) -> Any:
    """The tiny model's tokenizer, with its own template put back afterwards."""
    own = tiny_model.tokenizer.chat_template
    yield tiny_model.tokenizer
    tiny_model.tokenizer.chat_template = own


def test_a_model_without_a_template_gets_the_plain_one(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    assert choose_template(tokenizer) == PLAIN_TEMPLATE


def test_a_text_only_template_is_made_to_take_pictures(tokenizer: Any) -> None:
    tokenizer.chat_template = CHATML
    tokenizer.chat_template = choose_template(tokenizer)
    assert tokenizer.chat_template.endswith(CHATML)
    messages = [{"role": "system", "content": "Brief."}, {"role": "user", "content": [IMAGE, text("CT?")]}]
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBrief.<|im_end|>\n<|im_start|>user\n<image>CT?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_template_that_takes_pictures_is_kept(tokenizer: Any) -> None:
    tokenizer.chat_template = PLAIN_TEMPLATE.replace("<|user|>", "USER: ")
    assert choose_template(tokenizer) == tokenizer.chat_template


def test_a_template_that_refuses_everything_is_replaced(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('no') }}"
    assert choose_template(tokenizer) == PLAIN_TEMPLATE
