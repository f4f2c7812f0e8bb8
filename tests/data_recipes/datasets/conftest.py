"""A small data set on disk, in the layout that a test writes, and what a recipe makes of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_recipes.build import build_data
from data_recipes.schema import Example, Preference, read_examples, read_preferences


def png(shade: int = 90) -> bytes:
    """Return a small picture; another shade is another picture."""
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


class SetFolder:
    """A folder to fill, to build, and to look at."""

    png = staticmethod(png)

    def __init__(self, root: Path) -> None:
        self.root = root / "in"
        self.out = root / "out"
        self.root.mkdir()
        self.counts: dict[str, int] = {}

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def json(self, name: str, value: Any) -> Path:
        return self.file(name, json.dumps(value))

    def jsonl(self, name: str, records: Iterable[Any]) -> Path:
        return self.file(name, "".join(json.dumps(record) + "\n" for record in records))

    def csv(self, name: str, rows: Sequence[dict[str, Any]]) -> Path:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return self.file(name, stream.getvalue())

    def parquet(self, name: str, rows: Sequence[dict[str, Any]]) -> Path:
        import pyarrow
        from pyarrow import parquet

        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return path

    def pictures(self, *names: str) -> None:
        for number, name in enumerate(names):
            self.file(name, png(number))

    def build(self, name: str, source: Path | None = None, **options: Any) -> dict[str, list[Example]]:
        """Build, and return the examples by split, after a look that their pictures are there."""
        self.counts = build_data(name, source or self.root, self.out, **options)
        made = {file.removesuffix(".jsonl"): list(read_examples(self.out / file)) for file in self.counts}
        assert {name: len(found) for name, found in made.items()} == {
            file.removesuffix(".jsonl"): count for file, count in self.counts.items()
        }
        for found in made.values():
            for example in found:
                assert example.source == name
                assert all(path.is_file() for path in example.image_paths(self.out))
        return made

    def build_preferences(self, name: str, **options: Any) -> list[Preference]:
        counts = build_data(name, self.root, self.out, **options)
        return [pair for file in counts for pair in read_preferences(self.out / file)]


@pytest.fixture
def made(tmp_path: Path) -> SetFolder:
    """An empty data set."""
    return SetFolder(tmp_path)
