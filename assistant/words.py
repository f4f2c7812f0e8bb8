"""Words and sentences of medical text, in the form in which they are compared.

Spelling, plurals and the many names of one modality are brought together (`oedema` and `edema`, `metastases` and
`metastasis`, `radiograph` and `X-ray`); digits, units and hyphened terms are kept, for in medicine they carry meaning
(`T2`, `2.5`, `ground-glass`, `covid-19`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from os.path import commonprefix

_PHRASES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bx[\s-]?rays?\b"), "x-ray"),
    (re.compile(r"\bcomputed (?:axial )?tomograph(?:y|ic)\b"), "ct"),
    (re.compile(r"\bmagnetic resonance(?: imag(?:e|es|ing))?\b"), "mri"),
    (re.compile(r"\boptical coherence tomograph(?:y|ic)\b"), "oct"),
    (re.compile(r"\bpositron emission tomograph(?:y|ic)\b"), "pet"),
    (re.compile(r"\bcerebro-?spinal fluid\b"), "csf"),
    (re.compile(r"\bblood films?\b"), "blood smear"),
    (re.compile(r"\b(chest|plain|ap|pa|supine|erect|lateral|abdominal) films?\b"), r"\1 x-ray"),
    (re.compile(r"\bwhite (?:blood )?cells?\b"), "leukocyte cell"),
    (re.compile(r"\bred (?:blood )?cells?\b"), "erythrocyte cell"),
)

_SAME: dict[str, str] = {
    "radiograph": "x-ray",
    "radiography": "x-ray",
    "radiographic": "x-ray",
    "cxr": "x-ray",
    "mr": "mri",
    "sonography": "ultrasound",
    "sonogram": "ultrasound",
    "sonographic": "ultrasound",
    "ultrasonography": "ultrasound",
    "ultrasonographic": "ultrasound",
    "mammogram": "mammography",
    "mammographic": "mammography",
    "dermatoscopy": "dermoscopy",
    "dermoscopic": "dermoscopy",
    "dermatoscopic": "dermoscopy",
    "dermatoscope": "dermoscopy",
    "dermoscope": "dermoscopy",
    "endoscopic": "endoscopy",
    "endoscope": "endoscopy",
    "big": "large",
    "bigger": "large",
    "larger": "large",
    "enlarged": "large",
    "enlargement": "large",
    "smaller": "small",
    "wbc": "leukocyte",
    "rbc": "erythrocyte",
    "thrombocyte": "platelet",
    "renal": "kidney",
    "hepatic": "liver",
    "pulmonary": "lung",
    "cardiac": "heart",
    "cerebral": "brain",
    "cranial": "skull",
    "retinal": "retina",
    "alveoli": "alveolus",
    "bronchi": "bronchus",
    "calculi": "calculus",
    "emboli": "embolus",
    "thrombi": "thrombus",
    "foci": "focus",
    "gyri": "gyrus",
    "sulci": "sulcus",
    "hili": "hilum",
    "hila": "hilum",
    "hilar": "hilum",
    "nuclei": "nucleus",
    "menisci": "meniscus",
    "nevi": "nevus",
    "bacilli": "bacillus",
    "cocci": "coccus",
    "diverticula": "diverticulum",
    "bacteria": "bacterium",
    "ova": "ovum",
    "atria": "atrium",
    "septa": "septum",
    "pleural": "pleura",
}

_STOPWORDS = """
    a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing done down during each either else etc ever every few for from further had has have
    having he her here hers him his how however i if in into is it its itself just let me more most much my neither no
    nor not of off on once only onto or other our out over own per please quite rather really same she should so some
    such than that the their them then there these they this those through thus to too under until up upon us very via
    was we were what when where whether which while who whom whose why will with within without would you your
"""
STOPWORDS: frozenset[str] = frozenset(_STOPWORDS.split())

_ASKING = """
    answer appear appearance be called characteristic characteristically common commonly define definition describe
    depict differ difference display explain feature find image imaging know like look make mean meaning often picture
    present recognise recognize scan see seen shot show shown slide suggest tell typical typically usual usually view
    visible visualise visualize
"""
ASKING: frozenset[str] = frozenset(_ASKING.split())
"""Words that ask, and say nothing of the subject: they are no reason to call a passage relevant."""

KIN_PREFIX = 5
"""Words of one kin share at least this many first letters."""
_KIN_ENDING = 3
_DASHES = {ord(char): "-" for char in "‐‑‒–−"} | {ord(char): "'" for char in "‘’ʼ"}
_TOKEN = re.compile(r"[^\W_]+(?:[.,](?=\d)[^\W_]+|-[^\W_]+)*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|dr|prof|mr|mrs|ms|st|no|vol|pp?|fig|figs|al|approx|ca|resp|inc|ed|eds|[a-z])\.)$", re.I
)
_BREAK = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[]?[A-Z0-9])|\n{2,}|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


def plain(text: str) -> str:
    """Return `text` in lower case, without accents, with one name for each modality."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).translate(_DASHES)
        text = "".join(char for char in text if not unicodedata.combining(char))
    for pattern, name in _PHRASES:
        text = pattern.sub(name, text)
    return text


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return the singular of a lower-case word, in American spelling; short words and numbers stay as they are."""
    if len(word) < 4 or not word.isalpha():
        return _SAME.get(word, word)
    if word in _SAME:
        return _SAME[word]
    word = _singular(word)
    if len(word) >= 5:
        word = re.sub(r"(?<=[a-z])our$", "or", word) if len(word) > 5 or word == "tumour" else word
        word = word.replace("ae", "e").replace("oe", "e")
        word = re.sub(r"tre$", "ter", re.sub(r"is(?=e$|ed$|ing$|ation$)", "iz", word)) if len(word) > 5 else word
    return _SAME.get(word, word)


def _singular(word: str) -> str:
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("stases") or (len(word) > 6 and word.endswith(("oses", "yses", "eses"))):
        return word[:-2] + "is"
    if word.endswith("ae"):
        return word[:-1]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "xes", "zes")) or (word.endswith("ches") and not word.endswith("aches")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def tokens(text: str) -> list[str]:
    """Return every word of `text`, normalised and in order; a hyphened term is followed by its parts."""
    found: list[str] = []
    for match in _TOKEN.finditer(plain(text)):
        word = match.group().replace(",", ".") if match.group()[0].isdigit() else match.group()
        found.append(stem(word))
        if "-" in word and word != "x-ray":
            found.extend(stem(part) for part in word.split("-") if part)
    return found


def content_words(text: str) -> list[str]:
    """Return the distinct normalised words of `text` that say what it is about, in order of appearance."""
    raw = plain(text)
    words: dict[str, None] = {}
    for match in _TOKEN.finditer(raw):
        if match.group() in STOPWORDS:
            continue
        for word in tokens(match.group()):
            if word not in STOPWORDS and word not in ASKING and (len(word) > 1 or word.isdigit()):
                words[word] = None
    return list(words)


def sentences(text: str) -> list[str]:
    """Split prose or bullet lists into sentences; abbreviations and decimals do not end one."""
    pieces: list[str] = []
    start = 0
    for match in _BREAK.finditer(text):
        piece = text[start : match.start()]
        if "\n" not in match.group() and _ABBREVIATION.search(piece.rstrip("\"')] ")):
            continue
        pieces.append(piece)
        start = match.end()
    pieces.append(text[start:])
    cleaned = (" ".join(_BULLET.sub("", piece).split()) for piece in pieces)
    return [piece for piece in cleaned if piece]


def are_kin(one: str, other: str) -> bool:
    """Tell whether two normalised words differ in their ending alone: "diabetes" and "diabetic"."""
    if one == other or not (one.isalpha() and other.isalpha()):
        return False
    return len(commonprefix([one, other])) >= max(KIN_PREFIX, max(len(one), len(other)) - _KIN_ENDING)
