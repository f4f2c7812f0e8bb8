"""The form of an answer: text, or JSON whose fields are those of our answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assistant.conversation import Answer
from assistant.questions import YES_NO
from assistant.serve.errors import ApiError
from assistant.serve.schemas import ResponseFormat

FIELDS: dict[str, str] = {
    "answer": "string",
    "confidence": "number",
    "abstained": "boolean",
    "evidence": "array",
    "cautions": "array",
    "model": "object",
    "seconds": "number",
}
"""What a JSON answer can hold, with its type."""


@dataclass(frozen=True)
class Format:
    """How the answer is written out."""

    kind: str = "text"
    fields: tuple[str, ...] = ()
    """Of a JSON answer."""
    options: tuple[str, ...] = ()
    """Answers that a schema allows."""
    yes_no: bool = False
    """Whether the schema wants the answer as true or false."""

    def written(self, answer: Answer) -> tuple[str | None, str | None]:
        """Return the answer's text, and the refusal that stands in its place where it cannot have the form asked for.

        Args:
            answer: reviewed.
        Returns:
            Content and refusal; one of them is None.
        """
        if self.kind == "text":
            return answer.text, None
        if answer.abstained and self.kind == "json_schema":
            return None, answer.text  # no schema provides for "not sure enough to say"
        told = {**answer.to_dict(), "answer": self._value(answer.text)}
        return json.dumps({name: told[name] for name in self.fields}, ensure_ascii=False), None

    def _value(self, text: str) -> str | bool:
        if not self.options:
            return text
        # A citation after a choice would be none of the choices.
        chosen = next((one for one in self.options if text == one or text.startswith(f"{one} [")), text)
        return chosen == YES_NO[0] if self.yes_no else chosen


def format_of(wanted: ResponseFormat | None) -> Format:
    """Read the form that a request asks for.

    Args:
        wanted: of the request.
    Returns:
        The form.
    Raises:
        ApiError: a schema asks for what no answer of ours has.
    """
    if wanted is None or wanted.type == "text":
        return Format()
    if wanted.type == "json_object":
        return Format("json_object", tuple(FIELDS))
    schema = (wanted.json_schema or {}).get("schema")
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or not isinstance(
        schema.get("properties"), Mapping
    ):  # fmt: skip
        raise _refused("it needs json_schema.schema with type object and properties")
    properties: Mapping[str, Any] = schema["properties"]
    if not properties:
        raise _refused("it names no property")
    required = schema.get("required", [])
    named = dict.fromkeys([*properties, *map(str, required if isinstance(required, list) else [])])
    unknown = [str(name)[:40] for name in named if name not in FIELDS]
    if unknown:
        raise _refused(f"it asks for {', '.join(unknown[:5])}")
    return _with_answer(properties)


def _with_answer(properties: Mapping[str, Any]) -> Format:
    options: tuple[str, ...] = ()
    yes_no = False
    for name, rule in properties.items():
        if not isinstance(rule, Mapping):
            raise _refused(f"the rule of {name} is no object")
        kind = rule.get("type", FIELDS[name])
        if name == "answer" and kind == "boolean":
            options, yes_no = tuple(YES_NO), True
        elif kind != FIELDS[name]:
            raise _refused(f"{name} is of type {FIELDS[name]}" + (" or boolean" if name == "answer" else ""))
        if name == "answer" and "enum" in rule:
            options = (
                tuple(one for one in rule["enum"] if isinstance(one, str)) if isinstance(rule["enum"], list) else ()
            )
            if not options or len(options) != len(rule["enum"]):
                raise _refused("the enum of answer holds something other than strings")
    return Format("json_schema", tuple(properties), options, yes_no)


def _refused(why: str) -> ApiError:
    return ApiError(
        400,
        f"This schema cannot be kept: {why}. Properties can be {', '.join(FIELDS)}; answer can have an enum of strings "
        "to choose from, or be boolean for a yes-no question.",
        code="unsupported_schema",
        param="response_format",
    )
