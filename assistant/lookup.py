"""`Lookup`: what to ask the retriever for a question, an answer or a report, and answers made of quotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from assistant.case import Case
from assistant.config import GenerationConfig
from assistant.conversation import Question
from assistant.domain import Domain, Routes, conflict
from assistant.evidence import Evidence, Retriever
from assistant.guard import Stop, check_header, premised_modalities
from assistant.kinds import asks_form
from assistant.questions import YES_NO, standalone
from assistant.regions import belongs, seen_by, told_by
from assistant.telling import fit
from assistant.words import content_words

_DEEPER = 8
"""So many times the wanted pieces are looked at, since some are about other images."""
_HELP = "Send the image it is about, use other words, or load an index that covers it with --index."


class Lookup:
    """Searches on behalf of the assistant.

    Args:
        retriever: where to search; None finds nothing.
        settings: how many pieces to return.
    """

    def __init__(self, retriever: Retriever | None, settings: GenerationConfig) -> None:
        self._retriever = retriever
        self._count = settings.evidence_count
        self._elsewhere = settings.evidence_elsewhere
        self._again = settings.second_search

    @property
    def is_open(self) -> bool:
        """Whether there is anything to search."""
        return self._retriever is not None and self._count > 0

    def serves(self, question: Question) -> bool:
        """Whether there is anything to search, and the asker wants it searched."""
        return self.is_open and question.evidence

    def conflicts(self, case: Case) -> list[str]:
        """Return a caution for each picture whose header names one modality while the search is sure of another.

        A picture that the guard has warned of already is passed over.
        """
        if not isinstance(self._retriever, Routes) or not self.is_open:
            return []
        found = []
        for place, (picture, features) in enumerate(zip(case.pictures, case.features, strict=True)):
            warned = bool(case.sights) and check_header(picture, case.sights[place]) is not None
            if picture.modality is not None and not warned:
                found.append(conflict(picture.modality, self._retriever.route(features.joint)))
        return [caution for caution in found if caution]

    def domain(self, case: Case) -> Domain | None:
        """Return what the search takes the case's current picture for; None where it cannot tell."""
        if not isinstance(self._retriever, Routes) or not self.is_open or not case.features:
            return None
        return self._retriever.route(case.features[-1].joint)

    def about(self, case: Case, said: str = "", technique: str = "") -> tuple[Evidence, ...]:
        """Search for evidence on a case; what is on another kind of image or another region is passed over.

        Args:
            case: with its features and modality.
            said: what the model answered or reported, once it has; the search is then for that as well.
            technique: of a report, which says what region is shown.
        Returns:
            Best first; none where nothing is near enough, or there is no retriever.
        """
        if case.question is not None:
            asked = standalone(case.question).text
        else:
            asked = (case.request.indication or "") if case.request else ""
        if case.question is not None and said in YES_NO:
            said = ""
        if self._retriever is None or not self.is_open or not _wanted(case.question):
            return ()
        modality = case.modality or (case.current.modality if case.current else None)
        # The kind of image is no word of a query: cards would count as half a find for naming it. What was said is
        # sought alone, too, for the words that ask ("what abnormality is seen") are in no card.
        both = " ".join(part for part in (asked, said) if part)
        lists = [self._deep(case, query or modality or "", modality) for query in dict.fromkeys((said or both, both))]
        found = {piece.id: piece for pieces in zip_longest(*lists) for piece in pieces if piece is not None}
        if self._elsewhere:
            return tuple(found.values())[: self._count]
        domain = self.domain(case)
        region = _shown(case, technique) or seen_by(domain, modality)
        kinds = frozenset({modality}) if modality else domain.possible() if domain is not None else frozenset()
        return tuple(one for one in found.values() if belongs(one, kinds, region))[: self._count]

    def _deep(self, case: Case, query: str, modality: str | None) -> Sequence[Evidence]:
        """Return more than is wanted, since some of it may be about other images."""
        assert self._retriever is not None
        return self._retriever.search(
            query,
            image_embedding=case.features[-1].joint if case.features else None,
            k=_DEEPER * self._count,
            modality=modality,
            exclude_patient=case.current.patient_key if case.current else None,
        )

    def in_other_words(self, question: Question, found: Sequence[Evidence]) -> tuple[Evidence, ...]:
        """Search a question without a picture again, reworded and among all modalities."""
        query = reworded(standalone(question).text, found)
        if self._retriever is None or not query:
            return ()
        return tuple(self._retriever.search(query, k=self._count))

    def nearest_cases(self, case: Case, count: int) -> tuple[Evidence, ...]:
        """Return the cases and figures whose pictures are nearest to the case's own; not the patient's own."""
        if self._retriever is None or not count or not case.features or case.current is None:
            return ()
        found = self._retriever.search(
            "",
            image_embedding=case.features[-1].joint,
            k=4 * count,
            modality=case.modality,
            exclude_patient=case.current.patient_key,
        )
        return tuple(item for item in found if item.image is not None)[:count]

    def on_finding(self, case: Case, asked: str, finding: str) -> tuple[Evidence, ...]:
        """Return evidence on a question about the finding that the case's picture shows.

        A search by the question alone is led astray by the words that ask ("what can be mistaken for"), so what bears
        the finding's name is sought as well. Of both, what is about the finding comes first.

        Args:
            case: with its modality.
            asked: the question, the finding named in it.
            finding: its name.
        Returns:
            Best first.
        """
        if self._retriever is None or not self.is_open:
            return ()
        patient = case.current.patient_key if case.current else None
        found: dict[str, Evidence] = {}
        lists = [
            self._retriever.search(query, k=self._count, modality=case.modality, exclude_patient=patient)
            for query in dict.fromkeys((asked, finding.strip(" .").lower()))
        ]
        for pieces in zip_longest(*lists):
            found.update({piece.id: piece for piece in pieces if piece is not None and piece.id not in found})
        region = self._region(case)
        fits = {name: fit(one, finding, modality=case.modality, region=region) for name, one in found.items()}
        return tuple(sorted(found.values(), key=lambda piece: -fits[piece.id])[: self._count])

    def _region(self, case: Case) -> str | None:
        """Return the region that the case's picture shows, where the search can tell it from others."""
        if not case.features or not isinstance(self._retriever, Routes):
            return None
        domain = self._retriever.route(case.features[-1].joint)
        return domain.region_of(case.modality) if domain is not None else None

    def on_subject(self, question: Question) -> tuple[Evidence, ...] | Stop:
        """Return evidence on a question without a picture, or a stop that says why there is none."""
        if not _wanted(question):
            return Stop("There is no image, and the search for evidence is off, so there is nothing to answer from.",
                        "Send the image it is about, or switch the search on.")  # fmt: skip
        if self._retriever is None or not self.is_open:
            return Stop(
                "There is no image, and no evidence index is loaded, so there is nothing to answer from.", _HELP
            )
        asked = standalone(question).text
        named = premised_modalities(asked)
        found = self._retriever.search(asked, k=self._count, modality=named.pop() if len(named) == 1 else None)
        if not found and self._again:
            found = self.in_other_words(question, ())
        if not found:
            return Stop("There is no image, and the search found no evidence on this question.", _HELP)
        return tuple(found)


def _shown(case: Case, technique: str) -> str | None:
    """Return the region that the case's picture shows, as its header says, or else the report."""
    told = case.current.anatomy if case.current else None
    return told or told_by(technique)


def _wanted(question: Question | None) -> bool:
    """Whether evidence may be searched: a report always wants it."""
    return question is None or question.evidence


def reworded(asked: str, found: Sequence[Evidence]) -> str:
    """Return a question in other words: its subject without the words that ask, and what the best find is called.

    Args:
        asked: as it was put.
        found: what a first search gave, best first.
    Returns:
        Words to search by; empty if nothing but asking words was there.
    """
    subject = [word for word in content_words(asked) if not asks_form(word)]
    return " ".join([*subject, *([found[0].title] if found else [])])


def statement_of(question: Question | None, answer: str) -> str:
    """Return what an answer claims, as a sentence that evidence can be held against; nothing for a plain "No"."""
    if question is None or answer not in YES_NO:
        return answer
    return question.text if answer == YES_NO[0] else ""
