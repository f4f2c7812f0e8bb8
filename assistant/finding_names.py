"""Names of findings as reports write them: one name for each, after RadLex's preferred terms, and its many wordings."""

from __future__ import annotations

import re

SYNONYMS: dict[str, tuple[str, ...]] = {
    # Chest
    "pleural effusion": (r"(?:pleural|parapneumonic) effusions?", r"effusions?(?! cell)", r"pleural fluid",
                         r"blunt(?:ed|ing) (?:of )?(?:the )?(?:left |right )?costophrenic (?:angles?|sulc\w+)",
                         r"hydrothorax", r"h[a]?emothorax"),
    "pericardial effusion": (r"pericardial (?:effusions?|fluid)",),
    "pneumothorax": (r"(?:hydro)?pneumothora(?:x|ces)",),
    "pneumomediastinum": (r"pneumomediastinum",),
    "consolidation": (r"consolidat(?:ions?|ive|ed)(?: (?:opacit(?:y|ies)|changes?))?", r"air ?space disease"),
    "opacity": (r"(?:patchy |hazy |ill-defined |focal |ground[- ]glass |reticular |interstitial |airspace |basilar )*"
                r"(?:opacit(?:y|ies)|opacification|infiltrates?|shadowing)",),
    "atelectasis": (r"atelecta(?:sis|ses|tic)(?: changes?)?", r"(?:lobar|lung) collapse", r"volume loss"),
    "pneumonia": (r"(?:broncho)?pneumoni(?:a|as|c)", r"infectious process"),
    "pulmonary edema": (r"(?:pulmonary|interstitial|alveolar) (?:o)?edema", r"(?:o)?edema",
                        r"(?:pulmonary )?vascular congestion", r"fluid overload"),
    "cardiomegaly": (r"cardiomegaly", r"(?:enlarged|enlargement of the) (?:heart|cardiac silhouette)",
                     r"(?:heart|cardiac silhouette|cardiac size)(?: size)? (?:is |appears )?"
                     r"(?:(?:mildly|moderately|markedly|severely) )?enlarged", r"cardiac enlargement"),
    "pulmonary nodule": (r"(?:(?:pulmonary|lung|solitary|solid|calcified|non-?calcified) )*nodules?",
                         r"nodular opacit(?:y|ies)", r"granulomas?"),
    "mass": (r"(?:(?:lung|pulmonary|soft[- ]tissue|solid|hypoechoic) )*mass(?:es)?(?! effect)",),
    "emphysema": (r"emphysema(?:tous)?(?: changes?)?", r"hyperinflat(?:ion|ed)", r"hyperexpan(?:sion|ded)"),
    "pulmonary fibrosis": (r"(?:pulmonary |interstitial )?fibros(?:is|ing)", r"fibrotic changes?", r"honeycombing"),
    "pleural thickening": (r"pleural thickening", r"thickened pleura"),
    "pulmonary embolism": (r"pulmonary embol(?:ism|us|i)", r"filling defects?"),
    "lymphadenopathy": (r"(?:lymph)?adenopathy", r"enlarged lymph nodes?"),
    "hiatal hernia": (r"hiatal hernias?", r"hiatus hernias?"),
    "aortic aneurysm": (r"(?:aortic )?aneurysms?", r"aneurysmal dilat(?:at)?ion"),
    "fracture": (r"fractures?", r"fractured"),
    "scoliosis": (r"scolio(?:sis|tic)",),
    "degenerative change": (r"degenerative (?:changes?|disease)", r"osteophytes?", r"spondylosis"),
    "support device": (r"support devices?", r"pacemakers?", r"port-?a-?cath",
                       r"(?:endotracheal|nasogastric|enteric|feeding|chest|tracheostomy|ng|et) tubes?",
                       r"(?:picc|central(?: venous)?|ij|subclavian) (?:lines?|catheters?)"),
    # Head
    "hemorrhage": (r"(?:intracranial |subdural |epidural |subarachnoid |intraparenchymal |acute )*h[a]?emorrhages?",
                   r"(?:subdural|epidural|intracerebral)? ?h[a]?ematomas?"),
    "infarct": (r"infarct(?:s|ion|ions|ed)?", r"isch[a]?emic (?:change|stroke)s?"),
    "midline shift": (r"midline shift", r"shift of (?:the )?midline"),
    "hydrocephalus": (r"hydrocephalus", r"(?:ventricular enlargement|ventriculomegaly)"),
    "mass effect": (r"mass effect",),
    "glioma": (r"gliomas?", r"glioblastomas?", r"astrocytomas?"),
    "meningioma": (r"meningiomas?",),
    "pituitary tumor": (r"pituitary (?:tumou?rs?|adenomas?|macroadenomas?)",),
    "bright lesion": (r"(?:bright|hyperintense) lesions?",),
    "ring-enhancing lesion": (r"ring[- ]enhancing lesions?", r"rim[- ]enhancing lesions?"),
    # Abdomen, breast, others
    "cyst": (r"cysts?", r"cystic lesions?"),
    "gallstone": (r"gallstones?", r"cholelithiasis"),
    "urinary stone": (r"(?:renal|kidney|ureteral|ureteric|urinary) (?:stones?|calcul(?:us|i))", r"nephrolithiasis"),
    "hydronephrosis": (r"hydronephro(?:sis|tic)",),
    "ascites": (r"ascites", r"free (?:intraperitoneal |abdominal )?fluid"),
    "free air": (r"pneumoperitoneum", r"free (?:intraperitoneal |subdiaphragmatic )?air"),
    "bowel obstruction": (r"(?:small |large )?bowel obstruction",),
    "appendicitis": (r"appendicitis",),
    "calcification": (r"(?:micro)?calcifications?",),
    "abscess": (r"abscess(?:es)?",),
    "metastasis": (r"metasta(?:sis|ses|tic (?:disease|lesions?))",),
    "melanoma": (r"melanomas?",),
    "lesion": (r"lesions?",),
}  # fmt: skip
"""Name to patterns, in small letters; where two match at one place the longer one counts."""

_PATTERNS = [(name, re.compile(rf"\b(?:{'|'.join(forms)})\b")) for name, forms in SYNONYMS.items()]


def named_findings(text: str) -> list[tuple[int, int, str]]:
    """Find the names of findings in a text.

    Args:
        text: in small letters.

    Returns:
        (start, end, name) each, in order; no two overlap: the longer wording wins, then the earlier name of the list.
    """
    found = [(m.start(), m.end(), name) for name, pattern in _PATTERNS for m in pattern.finditer(text)]
    kept: list[tuple[int, int, str]] = []
    for one in sorted(found, key=lambda hit: hit[0] - hit[1]):
        if all(one[1] <= other[0] or one[0] >= other[1] for other in kept):
            kept.append(one)
    return sorted(kept)
