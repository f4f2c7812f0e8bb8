"""Chat templates: ours for models without one, and a wrapper that lets a text-only model's own take pictures.

Ours gives exactly these bytes, with no newline or space of its own; `<s>` and `</s>` stand for the tokenizer's
BOS (nothing, if it has none) and EOS tokens, each `<|…|>` and `<image>` is one token:

    <s><|system|>SYSTEM<|user|><image>QUESTION<|assistant|>ANSWER</s><|user|>QUESTION<|assistant|>

A message's content is a string, or a list of {"type": "image"} and {"type": "text", "text": …}, rendered in
the order given; put pictures first. The generation prompt is `<|assistant|>`. Answers, each with its `</s>`, lie
between generation marks, so that trainers can ask for a loss on them alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IMAGE_TOKEN = "<image>"
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")

_CONTENT = (
    "{%- macro content(message) -%}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for item in message['content'] -%}"
    "{%- if item['type'] == 'image' -%}{{ '<image>' }}{%- else -%}{{ item['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- endmacro -%}"
)

PLAIN_TEMPLATE = (
    _CONTENT + "{{- bos_token if bos_token is defined and bos_token else '' -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}"
    "{%- generation -%}{{- content(message) + eos_token -}}{%- endgeneration -%}"
    "{%- elif message['role'] in ['system', 'user'] -%}"
    "{{- '<|' + message['role'] + '|>' + content(message) -}}"
    "{%- else -%}"
    "{{- raise_exception('A message has role ' + message['role'] + '; use system, user or assistant.') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

# Turns lists of pictures and text into strings, then hands over to the model's own template.
_FLATTEN = (
    _CONTENT + "{%- set flat = namespace(messages=[]) -%}"
    "{%- for message in messages -%}"
    "{%- set flat.messages = flat.messages + [{'role': message['role'], 'content': content(message) | string}] -%}"
    "{%- endfor -%}"
    "{%- set messages = flat.messages -%}"
)


def choose_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the chat template for a model with this tokenizer.

    The tokenizer's own is kept if it renders pictures, wrapped if it takes only text, and `PLAIN_TEMPLATE` is used
    if there is none or if neither way puts one `<image>` before the question.
    """
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    for template in (own, _FLATTEN + own) if own else ():
        if _renders_pictures(tokenizer, template):
            return str(template)
    return PLAIN_TEMPLATE


def _renders_pictures(tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
    import jinja2

    probe = "Is it normal?"
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": probe}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
        {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
    ]
    try:
        text = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True
        )
    except (jinja2.TemplateError, TypeError, ValueError, KeyError):
        return False
    return isinstance(text, str) and text.count(IMAGE_TOKEN) == 1 and f"{IMAGE_TOKEN}{probe}" in text
