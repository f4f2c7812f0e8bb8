"""After the model has written: citations, talk of change, modality, sides, negations, measures. Small pure functions.

Each takes text and returns text with what had to go taken out, or a caution for the reader, or both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from assistant.evidence import Evidence
from assistant.polarity import negated_words, polarity
from assistant.vocabulary import canonical_modality
from assistant.words import content_words, sentences, tokens

CANNOT_TELL = "This model cannot tell."
"""What a model may be taught to say; its answer then counts as withheld."""

_CITATION = re.compile(r"\s*\[(\d+(?:\s*[,;-]\s*\d+)*)\]")
_LEAST_SHARED = 0.6

_CHANGE = re.compile(
    r"\b(?:unchanged|no (?:significant |interval |appreciable )?change|interval|previously|"
    r"(?:as |when )?compared (?:to|with)|in comparison (?:to|with)|"
    r"(?:since|from|than) (?:the |a )?(?:prior|previous|last|earlier|before)|than before|"
    r"(?:prior|previous|earlier) (?:image|study|scan|exam\w*|radiograph|film)|"
    r"(?:has|have) (?:since |now |slightly |mildly |markedly )?(?:increased|decreased|improved|worsened|resolved|grown|"
    r"progressed|enlarged|shrunk|cleared|changed|developed)|"
    r"(?:increased|decreased|enlarging|growing|shrinking) (?:since|in the interval)|"
    r"(?:newly|again) (?:seen|noted|demonstrated|identified|present)|"
    r"(?:improv|worsen)(?:ed|ing|ement)|resolv(?:ed|ing)|progress(?:ed|ing|ion)|"
    r"(?<!hemodynamically )(?<!haemodynamically )(?<!clinically )stable|new(?! york))\b",
    re.IGNORECASE,
)
# Advice to make another kind of image is not a claim about this one.
_ADVISING = re.compile(
    r"\b(?:recommend\w*|suggest\w*|advis\w*|consider\w*|correlat\w*|follow-?up|further|could be|if needed)\b",
    re.I,
)
_MODALITY_WORDS = re.compile(
    r"\b(?:CT|MRI|X-?rays?|radiographs?|ultrasound|sonogra\w+|mammogra\w+|fundus|dermoscop\w+|blood smear|"
    r"histopatholog\w+|endoscop\w+|OCT|scintigra\w+)\b",
    re.I,
)
_STEMS = {"sonogra": "sonography", "mammogra": "mammogram", "dermoscop": "dermoscopy", "endoscop": "endoscopy",
          "histopatholog": "histopathology", "scintigra": "scintigraphy", "radiograph": "radiograph"}  # fmt: skip
_NUMBER = re.compile(r"\d+\.")
_MEASURE = re.compile(r"\b\d+(?:[.,]\d+)?\s*(?:x\s*\d+(?:[.,]\d+)?\s*)?(?:mm|cm|millimet\w+|centimet\w+)\b", re.I)

_SIDES = ("left", "right")
# Words that many findings share, so that sharing one of them does not make two sentences speak of one finding.
_COMMON = frozenset(
    tokens(
        "left right bilateral side lung lobe zone upper lower middle mid base apex field hemithorax chest brain breast "
        "deep superficial anterior posterior part "
        "kidney liver heart image scan view normal abnormal small large mild moderate severe mm cm seen noted finding "
        "evidence acute no without with sign change of lesion area region x-ray ct mri ultrasound"
    )
)


def cited(text: str) -> list[int]:
    """Return the numbers that a text cites, in order, ranges written out."""
    numbers: list[int] = []
    for match in _CITATION.finditer(text):
        for part in re.split(r"[,;]", match.group(1)):
            first, _, last = part.partition("-")
            numbers.extend(range(int(first), min(int(last or first), int(first) + 20) + 1))
    return numbers


def without_citations(text: str) -> str:
    """Return the text without its "[1]" marks, as scorers compare it."""
    return _CITATION.sub("", text).strip()


def check_citations(text: str, evidence: Sequence[Evidence]) -> tuple[str, str | None]:
    """Take out citations of evidence that does not exist or does not speak of what its sentence says.

    Args:
        text: an answer.
        evidence: numbered from 1, as it was in the prompt.

    Returns:
        The text, and a caution if any was taken out.
    """
    missing, unsupported = 0, 0

    def keep(match: re.Match[str]) -> str:
        nonlocal missing, unsupported
        kept = []
        said = _sentence_around(text, match.start())
        for number in cited(match.group()):
            if not 1 <= number <= len(evidence):
                missing += 1
            elif not speaks_of(evidence[number - 1], said):
                unsupported += 1
            else:
                kept.append(number)
        return f" [{', '.join(map(str, kept))}]" if kept else ""

    cleaned = _CITATION.sub(keep, text).strip()
    faults = []
    if missing:
        faults.append(f"{missing} citation(s) of evidence that does not exist were removed.")
    if unsupported:
        faults.append(f"{unsupported} citation(s) were removed because the evidence does not speak of the sentence.")
    return cleaned, " ".join(faults) or None


def _sentence_around(text: str, place: int) -> str:
    """Return the sentence that ends with the citation at `place`."""
    before = without_citations(text[:place])
    found = sentences(before)
    return found[-1] if found else before


def speaks_of(item: Evidence, statement: str) -> bool:
    """Tell whether a piece of evidence holds most of the words of a statement."""
    words = content_words(statement)
    body = set(content_words(f"{item.title}. {item.text}"))
    return bool(words) and len(body & set(words)) / len(words) >= _LEAST_SHARED


def supports(item: Evidence, statement: str, *, modality: str | None = None) -> bool:
    """Tell whether a piece of evidence is about what a statement affirms, so that it may be cited for it.

    It must be titled with a word of the statement, hold most of the statement's words, not be of another modality,
    and not be about a thing that the statement says is absent.

    Args:
        item: the evidence.
        statement: a finding, such as "Glioma" or "There is a right pneumothorax.".
        modality: of the image.

    Returns:
        Whether it may be cited.
    """
    if modality and item.modality and item.modality != modality:
        return False
    words = [word for word in content_words(statement) if not word.isdigit()]
    title = set(content_words(item.title))
    absent = negated_words(statement) | negated_words(item.title)
    shared = (set(words) & title) - _COMMON
    if not shared or shared & absent or not speaks_of(item, statement):
        return False
    return polarity(f"{item.title}. {item.text}", shared) == "affirmed"


def cite(text: str, evidence: Sequence[Evidence], statement: str, *, modality: str | None = None) -> str:
    """Return the text with the number of the first piece of evidence that supports the statement, if one does."""
    if cited(text):
        return text
    for number, item in enumerate(evidence, start=1):
        if supports(item, statement, modality=modality):
            stop = "." if text.endswith(".") else ""
            return f"{text.removesuffix('.')} [{number}]{stop}"
    return text


def change_sentences(text: str) -> list[str]:
    """Return the sentences that speak of change, such as "The effusion is unchanged."."""
    return [sentence for sentence in sentences(text) if _CHANGE.search(sentence)]


def remove_change(text: str) -> tuple[str, int]:
    """Take out the sentences that speak of change; for reports without a prior.

    Args:
        text: of one section.

    Returns:
        The rest, and how many sentences were taken out.
    """
    unwanted = set(change_sentences(text))
    kept: list[str] = []
    for sentence in sentences(text):
        if sentence not in unwanted:
            kept.append(sentence)
        elif kept and _NUMBER.fullmatch(kept[-1]):
            # "1. Stable nodule." goes with its number.
            kept.pop()
    return (" ".join(kept), len(unwanted)) if unwanted else (text, 0)


def wrong_modality(text: str, modality: str | None) -> str | None:
    """Look for a text that calls the image by another modality than its own.

    Args:
        text: an answer or report; sentences that advise another examination are passed over.
        modality: the image's; None checks nothing.

    Returns:
        A caution, or None.
    """
    if modality is None:
        return None
    named: dict[str, None] = {}
    for sentence in sentences(text):
        if _ADVISING.search(sentence):
            continue
        for match in _MODALITY_WORDS.finditer(sentence):
            word = match.group().lower()
            stem = next((whole for start, whole in _STEMS.items() if word.startswith(start)), word)
            found = canonical_modality(stem) or canonical_modality(stem.rstrip("s"))
            if found and found != modality:
                named[found] = None
    return f"The text speaks of {', '.join(named)}, but the image is {modality}." if named else None


def named_findings(text: str) -> str:
    """Return what a text says is there, without where it is: the words to look evidence up by."""
    return " ".join(dict.fromkeys(word for sentence in sentences(text) for word in _affirmed(sentence)))


def side_conflicts(findings: str, impression: str) -> list[str]:
    """Return the findings that stand on one side in the findings and on the other in the impression."""
    conflicts: dict[str, None] = {}
    for sentence in sentences(impression):
        side = _side(sentence)
        if side is None:
            continue
        for word in _affirmed(sentence):
            sides = {_side(other) for other in sentences(findings) if word in _affirmed(other)} - {None}
            if sides and side not in sides:
                conflicts[word] = None
    return list(conflicts)


def denied_findings(findings: str, impression: str) -> list[str]:
    """Return what the impression says is there while the findings only say that it is not."""
    affirmed = dict.fromkeys(word for sentence in sentences(impression) for word in _affirmed(sentence))
    return [word for word in affirmed if polarity(findings, {word}) == "negated"]


def _affirmed(sentence: str) -> list[str]:
    absent = negated_words(sentence)
    return [word for word in content_words(sentence) if word not in _COMMON and word not in absent and word.isalpha()]


def _side(sentence: str) -> str | None:
    words: Collection[str] = tokens(sentence)
    named = [side for side in _SIDES if side in words]
    return named[0] if len(named) == 1 and "bilateral" not in words else None


def measure_caution(text: str, *, spacing_known: bool) -> str | None:
    """Return a caution if a text gives a length while the size of a pixel is unknown."""
    if spacing_known or not _MEASURE.search(text):
        return None
    return "Lengths in the text are estimates: the file does not say how large a pixel is."


def drop_repeats(text: str) -> str:
    """Return the text without sentences that repeat an earlier one, which small models fall into."""
    found = sentences(text)
    kept = list(dict.fromkeys(found))
    return text if len(kept) == len(found) else " ".join(kept)


def cannot_tell(text: str) -> bool:
    """Tell whether a text says no more than that the model cannot tell, in the words that it may be taught."""
    return without_citations(text).strip().rstrip(".").lower() == CANNOT_TELL.rstrip(".").lower()


def is_empty(text: str) -> bool:
    """Tell whether a text says nothing: no letter and no digit in it."""
    return not any(char.isalnum() for char in without_citations(text))
