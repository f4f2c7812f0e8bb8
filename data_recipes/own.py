"""What the recipes for a person's own data share: gathering faults, writing splits as they come, placing images."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from assistant.errors import DataError
from data_recipes.schema import Example
from data_recipes.splits import DEFAULT_SHARES, SPLITS

FAULTS_SHOWN = 20
"""Most faults that one message lists."""

Options = argparse.ArgumentParser | argparse._ArgumentGroup
"""What a recipe's `add_options` is given."""


class FaultList:
    """Gathers what is wrong with some files, to tell it all at once."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.count = 0

    def add(self, place: str, fault: str) -> None:
        """Note one fault.

        Args:
            place: file and line.
            fault: field, value and mend.
        """
        self.count += 1
        if len(self.shown) < FAULTS_SHOWN:
            self.shown.append(f"{place}: {fault}")

    def raise_if_any(self, source: Path) -> None:
        """Refuse the data if anything was noted.

        Args:
            source: what was read.
        Raises:
            DataError: lists the first faults and says how many there are.
        """
        if self.count:
            more = self.count - len(self.shown)
            tail = f"\n  … and {more} more" if more else ""
            raise DataError(f"{source}: {self.count} faults, nothing was written.\n  " + "\n  ".join(self.shown) + tail)


class SplitWriter:
    """Writes examples to one file a split as they come, in constant memory.

    Args:
        out: folder of the build, which is thrown away if anything fails.
        stack: closes the files.
    """

    def __init__(self, out: Path, stack: ExitStack) -> None:
        self._out = out
        self._stack = stack
        self._streams: dict[str, IO[str]] = {}
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """File name to its number of examples, training first."""
        order = {split: place for place, split in enumerate(SPLITS)}
        return {
            f"{split}.jsonl": self._counts[split] for split in sorted(self._counts, key=lambda one: order.get(one, 9))
        }

    def add(self, split: str, example: Example) -> None:
        """Write one example.

        Args:
            split: its split.
            example: what to write.
        """
        if split not in self._streams:
            path = self._out / f"{split}.jsonl"
            self._streams[split] = self._stack.enter_context(path.open("w", encoding="utf-8"))
        self._streams[split].write(json.dumps(example.to_dict(), ensure_ascii=False) + "\n")
        self._counts[split] = self._counts.get(split, 0) + 1


@contextmanager
def split_files(out: Path) -> Iterator[SplitWriter]:
    """Open a writer for the splits of a build.

    Args:
        out: folder of the build.
    Yields:
        The writer; its files are closed at the end.
    """
    with ExitStack() as stack:
        yield SplitWriter(out, stack)


def add_common_options(options: Options) -> None:
    """Add the options that all recipes for a person's own data take: licence, name, shares of the splits.

    Args:
        options: of the command line.
    """
    options.add_argument("--licence", metavar="TEXT", help="licence or terms of the data; needed, the card shows it")
    options.add_argument("--source-name", default="own", metavar="NAME", help="name of the data set (default own)")
    shares = ",".join(f"{split}={share:g}" for split, share in DEFAULT_SHARES.items())
    options.add_argument("--shares", default=shares, metavar="S", help=f"share of each split (default {shares})")


def needed_licence(licence: str | None) -> str:
    """Return the licence that was given.

    Args:
        licence: what `--licence` was.
    Returns:
        The same, without blanks at its ends.
    Raises:
        DataError: none was given.
    """
    if licence is None or not licence.strip():
        raise DataError(
            "say under what terms the data may be used, with --licence TEXT, such as 'in-house, not shared'."
        )
    return licence.strip()


def place_image(origin: Path, target: Path, *, link: bool) -> None:
    """Put an image in its place: a symbolic link, a hard link, or where that fails a copy.

    Args:
        origin: file to place; a link is followed.
        target: where to; left as it is when it is there.
        link: a symbolic link.
    Raises:
        DataError: there is no such file.
    """
    if target.exists():
        return
    if not origin.is_file():
        raise DataError(f"field 'images': {origin} is missing; add it, or delete the records that show it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    origin = origin.resolve()
    if link:
        target.symlink_to(origin)
        return
    try:
        os.link(origin, target)
    except OSError:  # another file system, or no right to link there
        shutil.copyfile(origin, target)
