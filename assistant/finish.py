"""`Finisher`: what the model wrote becomes an `Answer` or a `Report`: decided, reviewed, calibrated, cited."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from assistant import review
from assistant.case import Case
from assistant.confidence import Kind, calibrate, raw_confidence, threshold
from assistant.config import GenerationConfig
from assistant.conversation import NOT_FOR_CLINICAL_USE, SECTIONS, Answer, Report
from assistant.decide import decide
from assistant.entail import Entailment
from assistant.grounding import Ground, ground
from assistant.guard import Stop, larger_model
from assistant.header import answer_from_header
from assistant.knowledge import about_finding, is_nothing
from assistant.lookup import Lookup, statement_of
from assistant.model.presets import preset_names
from assistant.prompts import parse_report
from assistant.questions import YES_NO, is_no_answer, options_of, standalone
from assistant.quote import Quote, best_sentences
from assistant.report_review import (
    add_comparison,
    hold_against,
    mark_critical,
    measures,
    review_sections,
    sections_of_answers,
)
from assistant.report_template import TemplateNote
from assistant.review import without_citations
from assistant.telling import telling_sentences
from assistant.vocabulary import canonical_modality
from assistant.words import sentences

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

_QUOTES = 2
_CLOSE = 0.9
# What a sentence scores that holds every word and has the form that was asked for.
_FULL_SCORE = 1.5
# Header and model say different things, and one of them is right.
_CONTRADICTED = 0.5
_NOTHING = Stop("The model wrote nothing that can be used.", "Ask in other words, or send a clearer image.")
_UNTOLD = Stop("The model says that it cannot tell this from the image.", "Ask what it shows, or whether it is normal.")


class Finisher:
    """Turns generated cases into what the reader gets.

    Args:
        model: whose calibration and name to use.
        settings: thresholds.
        lookup: finds evidence for what was answered.
    """

    def __init__(self, model: LoadedModel, settings: GenerationConfig, lookup: Lookup) -> None:
        self._model = model
        self._settings = settings
        self._lookup = lookup

    def answer(self, case: Case, seconds: float = 0.0) -> Answer:
        """Finish a question that was stopped, generated, or is to be quoted.

        Args:
            case: as it left the model.
            seconds: time spent on it.

        Returns:
            The answer.
        """
        case.seconds = seconds
        told = self._told_by_header(case)
        if told is not None:
            return told
        if case.stop is not None:
            return self._answer(case, case.stop.text, 0.0, abstained=True)
        if case.prompt is None:
            return self._quoted(case)
        text, raw, kind = decide(case)
        confidence = calibrate(raw, kind, self._model.contract.calibration)
        text = self._reviewed(case, text)
        bare = kind == "open" and case.question is not None and is_no_answer(case.question.text, text)
        if bare or review.is_empty(text):
            return self._answer(case, _NOTHING.text, 0.0, abstained=True)
        if review.cannot_tell(text):
            return self._answer(case, _UNTOLD.text, 0.0, abstained=True)
        unsure = self._unsure(confidence, kind)
        if unsure is not None:
            return self._answer(case, unsure.text, confidence, abstained=True)
        assert case.question is not None
        if case.knowledge:
            return self._explained(case, text, confidence)
        if not case.evidence:
            case.evidence = self._lookup.about(case, text)
        statement = statement_of(case.question, text)
        text = review.cite(text, case.evidence, statement, modality=case.modality) if statement else text
        return self._answer(case, text, confidence, abstained=False)

    def report(self, case: Case, seconds: float = 0.0) -> Report:
        """Finish a report that was stopped or generated.

        Args:
            case: as it left the model.
            seconds: time spent on it.

        Returns:
            The report.
        """
        case.seconds = seconds
        if case.stop is not None or (case.generated is None and not case.parts):
            return self._no_report(case, case.stop or _NOTHING, 0.0)
        written, confidence = self._written_report(case)
        sections = review_sections(case, written)
        if review.is_empty(sections["findings"] + sections["impression"]):
            return self._no_report(case, _NOTHING, 0.0)
        unsure = None if case.parts else self._unsure(confidence, "report")
        if unsure is not None:
            return self._no_report(case, unsure, confidence)
        if case.earlier is not None:
            sections = add_comparison(case, sections, self._read_before(case.earlier))
        hold_against(case, sections, [self.sureness(one)[:2] for one in case.checks])
        if not case.evidence:
            told = sections["impression"] or sections["findings"]
            case.evidence = self._lookup.about(case, review.named_findings(told) or told, sections["technique"])
        case.cases = self._lookup.nearest_cases(case, self._settings.nearest_cases)
        sections["impression"] = " ".join(
            review.cite(sentence, case.evidence, review.named_findings(sentence) or sentence, modality=case.modality)
            for sentence in sentences(sections["impression"])
        )
        return self._report(case, sections, confidence, abstained=False)

    def _written_report(self, case: Case) -> tuple[dict[str, str], float]:
        """Return the sections as the model wrote them, or made of its answers, and how sure it was."""
        if case.generated is None:
            return sections_of_answers(case, [self.sureness(part) for part in case.parts])
        if not case.generated.finished:
            case.doubt("The report was cut at the token limit and may be incomplete.")
        raw = raw_confidence(case.generated.log_probs)
        return parse_report(case.generated.text), calibrate(raw, "report", self._model.contract.calibration)

    def _read_before(self, earlier: Case) -> str | None:
        """Return the findings on the priors; None where they were cut off, empty or too unsure."""
        if earlier.generated is None or not earlier.generated.finished:
            return None
        written, confidence = self._written_report(earlier)
        text = review.drop_repeats(written["findings"] or written["impression"])
        return None if review.is_empty(text) or self._unsure(confidence, "report") is not None else text

    def _told_by_header(self, case: Case) -> Answer | None:
        """Answer from the file's own word; what the model would have said is told where it differs."""
        assert case.question is not None
        text = answer_from_header(case.question.text, case.options or options_of(case.question), case.pictures)
        if text is None:
            return None
        case.warn("The kind of image was read from the file's header.")
        if case.stop is not None:
            case.warn(case.stop.text)
            return self._answer(case, text, 1.0, abstained=False)
        seen, raw, kind = decide(case)
        said = review.without_citations(seen).strip(" .")
        if (canonical_modality(said) or said.lower()) == (canonical_modality(text) or text.lower()):
            return self._answer(case, text, 1.0, abstained=False)
        doubt = calibrate(raw, kind, self._model.contract.calibration)
        case.warn(f"From the image alone the model would have said: {said} ({doubt:.0%}).")
        return self._answer(case, text, _CONTRADICTED, abstained=False)

    def _quoted(self, case: Case) -> Answer:
        assert case.question is not None
        asked = standalone(case.question).text
        quotes, confidence = self._choose(asked, case)
        if self._settings.second_search and (not quotes or self._unsure(confidence, "quote")):
            other = replace(case, evidence=self._lookup.in_other_words(case.question, case.evidence))
            again, surer = self._choose(asked, other)
            if again and (not quotes or surer > confidence):
                quotes, confidence, case.evidence = again, surer, other.evidence
                case.warn("The first search gave nothing sure; the answer is from a second one in other words.")
        if not quotes:
            stop = Stop(
                "There is no image, and no sentence of what the search found answers this question.",
                "What it found is listed as evidence.",
            )
            return self._answer(case, stop.text, 0.0, abstained=True)
        close = [quote for quote in quotes if quote.score >= _CLOSE * quotes[0].score]
        text = " ".join(f'"{quote.sentence}" [{quote.evidence_index + 1}]' for quote in close)
        case.warn("No image was given: the answer is quoted from the numbered evidence.")
        unsure = self._unsure(confidence, "quote")
        if unsure is not None:
            return self._answer(case, unsure.text, confidence, abstained=True)
        return self._answer(case, text, confidence, abstained=False)

    def _choose(self, asked: str, case: Case) -> tuple[list[Quote], float]:
        """Return the sentences that answer best, and how sure that is."""
        quotes = best_sentences(asked, case.evidence, _QUOTES, embed=self._model.text.embed)
        raw = min(1.0, max(0.0, quotes[0].score / _FULL_SCORE)) if quotes else 0.0
        return quotes, calibrate(raw, "quote", self._model.contract.calibration)

    def sureness(self, case: Case) -> tuple[str, float, bool]:
        """Return what a generated case says, how sure that is, and whether it is sure enough to be said."""
        text, raw, kind = decide(case)
        confidence = calibrate(raw, kind, self._model.contract.calibration)
        return text, confidence, self._unsure(confidence, kind) is None and not review.cannot_tell(text)

    def _explained(self, case: Case, finding: str, confidence: float) -> Answer:
        """Quote what is asked about the finding that the model saw."""
        assert case.question is not None
        if is_nothing(finding):
            text = f"{finding.strip(' .')}, so there is nothing to tell."
            return self._answer(case, text, confidence, abstained=False)
        asked = about_finding(case.question.text, finding)
        case.evidence = self._lookup.on_finding(case, asked, finding)
        quotes = telling_sentences(case.question.text, finding, case.evidence, modality=case.modality)
        if not quotes:
            text = f"The image seems to show: {finding.strip(' .')}. No sentence of what the search found tells more."
            return self._answer(case, text, confidence, abstained=True)
        (quote,) = quotes
        text = f'{finding.strip(" .")}: "{quote.sentence}" [{quote.evidence_index + 1}]'
        told = calibrate(min(1.0, quote.score / _FULL_SCORE), "quote", self._model.contract.calibration)
        case.warn("The finding is the model's; what is said of it is quoted from the numbered evidence.")
        return self._answer(case, text, min(confidence, told), abstained=False)

    def _reviewed(self, case: Case, text: str) -> str:
        """Return an answer after review; what was found goes to the case's cautions."""
        text, caution = review.check_citations(review.drop_repeats(text), case.evidence)
        case.warn(caution, review.wrong_modality(text, case.modality), measures(case, text))
        if len(case.pictures) == 1 and review.change_sentences(text):
            case.warn("The answer speaks of change, but no prior image was given.")
        if case.generated is not None and not case.generated.finished and not case.options:
            case.warn("The answer was cut at the token limit and may be incomplete.")
        return text

    def _unsure(self, confidence: float, kind: Kind) -> Stop | None:
        least = threshold(kind, self._model.contract.calibration, self._settings.abstain_below)
        if confidence >= least:
            return None
        return Stop(
            f"Not sure enough to say (confidence {confidence:.0%}, needed {least:.0%}).",
            "A clearer image, a narrower question or answers to choose from may help. " + larger_model(preset_names()),
        )

    @cached_property
    def _judge(self) -> Entailment | None:
        folder = self._settings.entailment_model
        return Entailment.open(folder) if folder else None

    def _ground(self, case: Case, text: str) -> tuple[Ground, ...]:
        """Mark each sentence with its evidence; a plain Yes stands for what was asked, a plain No for nothing."""
        if not case.evidence:
            return ()
        plain = without_citations(text).strip(" .")
        asked = case.question is not None and plain in YES_NO
        stated = statement_of(case.question, plain) if asked else text
        made = ground(stated, case.evidence, embed=self._model.text.embed, judge=self._judge)
        return tuple(replace(one, sentence=f"{one.sentence} {plain}.") for one in made) if asked else made

    def _no_report(self, case: Case, stop: Stop, confidence: float) -> Report:
        sections = {**dict.fromkeys(SECTIONS, ""), "impression": f"No report was drafted. {stop.text}"}
        return self._report(case, sections, confidence, abstained=True)

    def _answer(self, case: Case, text: str, confidence: float, *, abstained: bool) -> Answer:
        case.warn(NOT_FOR_CLINICAL_USE)
        return Answer(
            text=text,
            confidence=confidence,
            abstained=abstained,
            evidence=case.evidence,
            cautions=tuple(case.cautions),
            model_name=self._model.name,
            model_fingerprint=self._model.fingerprint,
            seconds=case.seconds,
            grounds=() if abstained else self._ground(case, text),
            usage=case.usage,
            slices=case.slices,
        )

    def _report(self, case: Case, sections: dict[str, str], confidence: float, *, abstained: bool) -> Report:
        critical = () if abstained else mark_critical(case, sections)
        case.warn(NOT_FOR_CLINICAL_USE)
        return Report(
            sections=sections,
            confidence=confidence,
            abstained=abstained,
            evidence=case.evidence,
            cautions=tuple(case.cautions),
            model_name=self._model.name,
            model_fingerprint=self._model.fingerprint,
            seconds=case.seconds,
            grounds=() if abstained else self._ground(case, f"{sections['findings']}\n\n{sections['impression']}"),
            cases=case.cases,
            usage=case.usage,
            slices=case.slices,
            template=TemplateNote.of(case.template, case.chosen_by) if case.template else None,
            critical=critical,
            doubts=tuple(case.doubts),
        )
