"""Figures with captions in ROCO's form: `captions.txt`, `licences.txt` and `keywords.txt` beside a folder of pictures.

Source: Pelka et al. Radiology Objects in COntext (ROCO): a multimodal image dataset. LABELS 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from retrieval.passage import Passage
from retrieval.reading import Faults, ReadOptions, Tally

_ENDINGS = (".jpg", ".png", ".jpeg")


def read_roco(path: Path, options: ReadOptions, faults: Faults, tally: Tally) -> Iterator[Passage]:
    """Read figures; a caption whose picture is not there becomes a passage.

    Args:
        path: `captions.txt`, each line an id and a caption with a tab between.
        options: licence and source where none is named.
        faults: what is wrong is added here.
        tally: captions without words are counted as empty.
    Yields:
        Figures in the order of the file.
    """
    from retrieval.records import passages_of

    licences, keywords = _column(path.with_name("licences.txt")), _column(path.with_name("keywords.txt"))
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            name, _, caption = line.strip().partition("\t")
            if not name:
                continue
            if not caption.strip():
                tally.empty += 1
                continue
            record = {
                "id": f"roco-{name}",
                "caption": caption.strip(),
                "keywords": [word for word in keywords.get(name, "").split("\t") if word],
                "source": options.source or f"ROCO, {name}",
                "licence": licences.get(name, "").split("\t")[-1].strip() or options.licence,
            }
            image = next((one for one in _pictures(name) if (path.parent / one).is_file()), None)
            more = {"image": image, "kind": "figure"} if image else {}
            yield from passages_of({**record, **more}, f"{path}:{number}", path.parent, options, faults)


def _pictures(name: str) -> Iterator[str]:
    for folder in ("images", "."):
        for ending in _ENDINGS:
            yield f"{folder}/{name}{ending}"


def _column(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        rows = [line.rstrip("\n").partition("\t") for line in lines]
    return {name: rest for name, _, rest in rows}
