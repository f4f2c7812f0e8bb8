"""The tables of a LanceDB store: their schemas, the rows that records become, and literals for its SQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from retrieval.embed import ROLES
from retrieval.stores.store import Stored

TABLES = ("records", "text", "image", "words", "postings")


def schemas(width: int) -> dict[str, Any]:
    """Return the Arrow schema of each table; vectors are `width` wide."""
    import pyarrow as pa

    vector = pa.list_(pa.float32(), width)
    key = ("key", pa.int64())
    return {
        "records": pa.schema(
            [key, ("id", pa.string()), ("document", pa.string()), ("patient", pa.string()), ("record", pa.string()),
             ("picture", pa.string()), ("jpeg", pa.binary())]
        ),
        "text": pa.schema([key, ("patient", pa.string()), ("vector", vector)]),
        "image": pa.schema([key, ("patient", pa.string()), ("vector", vector)]),
        "words": pa.schema([("word", pa.string())]),
        "postings": pa.schema(
            [("word", pa.string()), key, ("times", pa.int32()), ("length", pa.int32())]
        ),
    }  # fmt: skip


def rows_of(records: Sequence[Stored], counts: Sequence[Any], width: int, words: Collection[str]) -> dict[str, Any]:
    """Return what each table gets."""
    import pyarrow as pa

    texts = [(one.key * ROLES, one.passage.patient_key, one.text) for one in records]
    texts += [(one.key * ROLES + 1, one.passage.patient_key, one.title) for one in records if one.title is not None]
    images = [(one.key, one.passage.patient_key, one.image) for one in records if one.image is not None]
    postings = [
        (word, one.key, times, sum(count.values()))
        for one, count in zip(records, counts, strict=True)
        for word, times in count.items()
    ]
    rows: dict[str, list[dict[str, Any]]] = {
        "records": [
            {
                "key": one.key,
                "id": one.passage.id,
                "document": one.passage.document,
                "patient": one.passage.patient_key,
                "record": json.dumps(one.passage.to_dict(), ensure_ascii=False),
                "picture": one.passage.image,
                "jpeg": one.jpeg,
            }
            for one in records
        ],
        "text": [{"key": key, "patient": patient, "vector": vector.tolist()} for key, patient, vector in texts],
        "image": [{"key": key, "patient": patient, "vector": vector.tolist()} for key, patient, vector in images],
        "words": [{"word": word} for word in sorted(words)],
        "postings": [dict(zip(("word", "key", "times", "length"), values, strict=True)) for values in postings],
    }
    return {name: pa.Table.from_pylist(rows[name], schema=schema) for name, schema in schemas(width).items()}


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def numbers(keys: Collection[int]) -> str:
    """Return keys as the inside of an SQL list; a key that nothing has where there are none."""
    return ", ".join(str(int(key)) for key in keys) or "-1"


def after(prefix: str) -> str:
    """Return the first text that no longer begins with `prefix`, in the order of code points."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
