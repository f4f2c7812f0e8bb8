"""Whether a question may go on to the model: its scope, what it takes for granted, and the prior it speaks of."""

from __future__ import annotations

from assistant.case import Case
from assistant.conversation import Question
from assistant.guard import Stop, check_premise, check_prior
from assistant.scope import check_image_sent, check_scope


def guard_question(case: Case, question: Question) -> None:
    """Stop a question that is out of scope or of another image, and note what else is wrong with it.

    Args:
        case: with pictures and modality; it gets a stop or cautions.
        question: as it was put.
    """
    case.stop = check_scope(question.text) or case.stop
    if case.stop is None and not case.pictures:
        case.stop = check_image_sent(question.text)
    if case.stop is None and case.pictures:
        case.warn(check_prior(question.text, len(case.pictures)))
        premise = check_premise(question.text, case.modality)
        if isinstance(premise, Stop):
            case.stop = premise
        else:
            case.warn(premise)
