"""What is asked for, without the courtesy around it: greetings, "please", "could you tell me whether …".

A question keeps what it asks; a model that knows questions by their wording is put one that it knows. English, as the
models' questions are.
"""

from __future__ import annotations

import re

_HELLO = re.compile(
    r"^(?:(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings|thanks?(?: you| a lot| so much)*|"
    r"o\.?k(?:ay)?|great|sorry|excuse me|well|so|now)(?: there| again|,? doctor| everyone)?\s*[,.!:;-]+\s*)+",
    re.IGNORECASE,
)
_KIND_WORDS = r"(?:please|kindly|maybe|perhaps|quickly|just|briefly)"
_PLEASE = re.compile(
    rf"^(?:(?:please|kindly)[, ]+)+|,?\s+(?:please|kindly)(?=\s*[.?!]*$)|(?<=you) {_KIND_WORDS}\b", re.I
)
_GOODBYE = re.compile(
    r"(?:(?P<end>[.?!])|[\s,;-])\s*(?:thanks?(?: you)?(?: (?:a lot|so much|very much|in advance))?|"
    r"for me(?:,? please)?|if (?:you can|possible)|cheers)\s*[.!]*(?P<mark>[?]?)$",
    re.IGNORECASE,
)
_CAN_YOU = re.compile(
    rf"^(?:(?:can|could|would|will) you(?: be able to| mind)? |i(?: would|'d) like you to |i (?:want|need) you to )"
    rf"(?:{_KIND_WORDS} )?",
    re.IGNORECASE,
)
_TELL_ME = re.compile(
    r"^(?:(?:tell|show|inform)(?: me| us)?|let (?:me|us) know|say|find out|check|determine|see|"
    r"explain(?: to me)?|"
    r"(?:i|we)(?:'m| am| are)? (?:wonder(?:ing)?|wondering|curious)|"
    r"(?:i|we)(?: would|'d) (?:like|love) to (?:know|ask|see)|(?:i|we) (?:want|need|wish) to (?:know|ask)|"
    r"do you know|(?:have|has) you any idea|(?:may|can|could) (?:i|we) (?:ask|know))"
    r"(?: you)?[,:]? (?=(?:whether|if|what|where|which|how|who|why|when)\b)",
    re.IGNORECASE,
)
_TELL_THE = re.compile(r"^tell(?: me| us)? (?P<rest>the (?:[\w-]+ ){0,3}[\w-]+)$", re.IGNORECASE)
_LOOK_AND = re.compile(
    r"^(?:please )?(?:(?:have|take) a )?look at "
    r"(?:this|the|that|my|these)(?: [\w-]+){0,3}?(?:,|:| and|, and) (?:then )?",
    re.IGNORECASE,
)
_THING = (
    r"(?:there|this|it|that|these|those|they|he|she|(?:this|that|the|these|those|any|an?)(?: [\w-]+){1,3}?|"
    r"anything|everything|something)"
)
_BE = r"(?:is|are|was|were)"
_IF = re.compile(rf"^(?:whether|if)(?: or not)? (?P<thing>{_THING}) (?P<be>{_BE}) (?P<rest>.+)$", re.IGNORECASE)
_SEE = re.compile(r"^(?:whether|if)(?: or not)? you (?:can )?see (?P<rest>.+)$", re.IGNORECASE)
_SHOWS = re.compile(
    rf"^(?:whether|if)(?: or not)? (?P<thing>{_THING}) "
    r"(?P<verb>shows?|ha(?:s|ve)(?= an? )|looks?|contains?) (?P<rest>.+)$",
    re.I,
)
_WH = re.compile(
    rf"^(?P<wh>where|who|how (?:\w+)|what(?: (?!you\b|this\b|the\b|that\b|it\b)\w+){{0,3}}|which(?: [\w-]+){{1,3}}?) "
    rf"(?P<thing>{_THING}) (?P<be>{_BE})(?P<rest>(?: \w+)*)$",
    re.IGNORECASE,
)
_WH_YOU = re.compile(r"^(?P<wh>what|where|which [\w-]+) you (?:can )?(?P<rest>see.*|think.*|find.*)$", re.IGNORECASE)
_WH_SHOWS = re.compile(r"^what (?P<thing>this|that|it|(?:this|the|that) [\w-]+) shows?$", re.IGNORECASE)

_LOOK = (
    r"(?:describe|summari[sz]e|interpret|analy[sz]e|examine|evaluate|review|read|inspect|explain|characteri[sz]e|"
    r"comment on|look at|tell (?:me|us)(?: more)? about|(?:give|write|provide)(?: me| us)? (?:an? |the )?"
    r"(?:(?:short|brief|detailed|full|quick|concise|general) )*(?:description|summary|overview|interpretation|analysis|"
    r"reading) of)"
)
_IMAGE = (
    r"(?:(?:this|the|that|these|my|attached|following|uploaded|above|medical|radiological|patient's|chest|brain|breast|"
    r"head|skin|blood|retinal|axial) )*"
    r"(?:image|images|picture|pictures|photo|photograph|scan|scans|study|slice|film|x-?ray|xray|radiograph|cxr|ct|mri|mr|"
    r"ultrasound|sonogram|fundus|smear|dermoscopy|lesion photo)(?: (?:image|scan|slice|picture|study|film))?"
)
_FINDINGS = (
    r"(?:(?:the|all|any|main|key|relevant|important|imaging|radiological|your|abnormal) )*(?:findings|observations)"
)
_SEEN = r"(?:is |are )?(?:shown|seen|visible|depicted|displayed|there|to be seen|going on|happening)"
_HERE = rf"(?: (?:here|(?:in|on|of|from) (?:it|this|that|{_IMAGE})))?"
_WHAT_IS = r"what(?:'s| is| are)"
_DETAIL = r"(?: in (?:detail|brief|short|general|one sentence|a few words))?"
_TOLD = rf"(?:tell (?:me |us )?(?:about )?(?:this|it|{_IMAGE})|say (?:about )?(?:this|it|{_IMAGE}))"
_DESCRIPTION = re.compile(
    rf"^(?:{_LOOK} (?:this|it|{_IMAGE}|{_FINDINGS}{_HERE}|what (?:you (?:can )?see|{_SEEN}){_HERE}){_DETAIL}|"
    rf"(?:what|which)(?: findings| things)? (?:do|can|could) (?:you|we|one) (?:see|find|observe|notice|{_TOLD}){_HERE}|"
    rf"what (?:does|do) (?:this|it|that|{_IMAGE}) (?:show|depict|display|reveal|tell(?: us| me)?)|"
    rf"what(?: findings)? {_SEEN}{_HERE}|{_WHAT_IS} {_FINDINGS}{_HERE}|"
    rf"{_WHAT_IS} (?:this|it|that|in (?:this|it|{_IMAGE})|(?:this|that) {_IMAGE})|"
    rf"{_WHAT_IS} (?:shown|seen|visible|depicted|displayed|going on|happening){_HERE}|"
    rf"(?:(?:give|write|provide)(?: me| us)? (?:(?:an?|the) )?(?:(?:short|brief|detailed|full|quick) )*)?"
    rf"(?:findings|description|summary|interpretation|what you see|"
    rf"your (?:impression|opinion|thoughts)(?: on {_IMAGE})?))"
    r"[ .!?:]*$",
    re.IGNORECASE,
)
_DEED = re.compile(
    r"(?:describe(?!.*\bas\b)|summari[sz]e|interpret|analy[sz]e|explain|list|write|give|draft|make|locate|point)\b",
    re.I,
)


def plain(text: str) -> str:
    """Return a question without its courtesy, in the order of words of a question.

    Args:
        text: as a person typed it.
    Returns:
        Such as "Is there a mass?" for "Hello, could you please tell me whether there is a mass? Thanks!"; the text
        itself, with single blanks, where there is nothing to take away.
    """
    flat = " ".join(text.split()).replace("\u2019", "'")
    left = _GOODBYE.sub(lambda end: end["end"] or end["mark"], _LOOK_AND.sub("", _HELLO.sub("", flat)))
    left = _PLEASE.sub("", left)
    asked = _CAN_YOU.search(left)
    core = _PLEASE.sub("", left[asked.end() :] if asked else left)
    told = _TELL_ME.search(core)
    if told:
        return _direct(core[told.end() :]) or flat
    if named := _TELL_THE.match(core.rstrip(" .?!")):
        return f"What is {named['rest']}?"
    if asked and _DEED.match(core):  # "Could you describe …?" wishes for the deed; "Can you see a mass?" asks
        left = f"{core.rstrip(' .?!')}."
    if left == flat:
        return flat
    mark = "" if not left or left[-1] in ".?!" else "?" if flat.endswith("?") else "."
    return _capital(left) + mark if left.strip(" .?!") else flat


def _direct(clause: str) -> str | None:
    """Turn what follows "tell me" into a question; None where its words cannot be put in order."""
    bare = clause.rstrip(" .?!")
    if match := _IF.match(bare):
        return _capital(f"{match['be'].lower()} {match['thing']} {match['rest']}?")
    if match := _SEE.match(bare):
        return f"Do you see {match['rest']}?"
    if match := _SHOWS.match(bare):
        verb = match["verb"].lower()
        plural = verb in ("show", "have", "look", "contain")
        base = {"has": "have"}.get(verb, verb if plural else verb[:-1])
        return f"{'Do' if plural else 'Does'} {match['thing'].lower()} {base} {match['rest']}?"
    if match := _WH_YOU.match(bare):
        return _capital(f"{match['wh']} do you {match['rest']}?")
    if match := _WH_SHOWS.match(bare):
        return f"What does {match['thing'].lower()} show?"
    if match := _WH.match(bare):
        return _capital(f"{match['wh']} {match['be'].lower()} {match['thing']}{match['rest']}?")
    return None if re.match(r"(?:whether|if)\b", bare, re.IGNORECASE) else _capital(f"{bare}?")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def wants_description(text: str) -> bool:
    """Tell whether a text asks what a picture shows, and for nothing more particular, in whatever words."""
    return bool(_DESCRIPTION.match(plain(text)))
