"""Names of patients and doctors: found by what stands around them, checked against vocabulary.

A word is no name because a list says so; a context makes it one (`Dr.`, `Patient:`, `discussed with`, `, MD`),
and what the word otherwise means (vocabulary, eponyms, makers) speaks against it. The stronger the context,
the less can speak against.
"""

import re
from collections.abc import Iterator

from synvlp.reports import dates, markers, spans
from synvlp.reports.lexicons import words
from synvlp.reports.spans import Span

_GAP = re.compile(r"[ \t]*(?:\n[ \t]*)?")
_SPACE = re.compile(r"[ \t]*")
_PARTICLE = re.compile(
    r"(?:de la|de las|de los|van der|van den|von der|de|del|della|di|da|dos|das|du|van|von|der|den|bin|bint|ibn|al|"
    r"el|"
    r"la|le|ter|ten|af|abu|st\.?)(?:[ \t]+|-)(?=[^\W\d_])",
    re.IGNORECASE,
)
_HIDDEN = "\0"  # a part of a name that a marker of an earlier de-identification stands for
_SUFFIX = re.compile(r",?[ \t]*(?:Jr|Sr|II|III|IV)\b\.?", re.IGNORECASE)
_INITIAL = re.compile(r"[^\W\d_]\.(?![^\W\d_]{2})|[A-Z]\b(?![.'’:=-])")
_CREDENTIAL_WORDS = (
    r"M\.?\s?D|D\.?O|R\.?N|B\.?S\.?N|N\.?P|PA|PA-C|CRNP|APRN|ARNP|CNP|DNP|MBBS|MBChB|MB|BCh|Ph\.?D|FRCR|FACR|FRCPC|"
    r"R\.?T\.?(?:\s?\(R\))?|RRA|MPH|M\.?S|PGY[- ]?\d|DPM|DDS|LPN|RPA|FCCP|FACS|MSN|CNS|CCRN|ABR"
)
_CREDENTIAL = re.compile(rf"(?:{_CREDENTIAL_WORDS})\b\.?")

_CALENDAR = frozenset({*dates.MONTHS, *dates.WEEKDAYS, "today", "yesterday", "tomorrow"})
_EPONYM_NOUN = re.compile(
    r"(?:['’]s)?(?:[ \t-]+(?:type|b|a|c))?[ \t-]+(?:catheters?|lines?|tubes?|tubing|signs?|diseases?|lymphoma|"
    r"sarcoma|tumou?rs?|"
    r"syndromes?|nodes?|nodules?|complex|foc(?:us|i)|hernias?|criteria|societ(?:y|ies)|score|scoring|grade|"
    r"classification|class|fractures?|deformit(?:y|ies)|pacemakers?|ports?|valves?|methods?|angles?|lesions?|"
    r"defects?|"
    r"triad|island|procedures?|repair|operation|shunts?|waves?|rods?|nails?|wires?|screws?|filters?|guidelines?|"
    r"stents?|clips?|cannulas?|drains?|bodies|body|palsy|ring|ulcer|esophagus|diverticul\w+|anomaly|unit|units|"
    r"position|view|maneuver|test|stain|granulomatosis|thyroiditis|loop|circle|duct|ligament|bundle|block|space|"
    r"pouch|fascia|muscle|canal|foramen|dermatitis|arthropathy|kyphosis|spots?|bag|mask|introducer|sheath|ganz|"
    r"prosthe\w+|\w+ectomy|\w+plasty|\w+ostomy|implants?|grafts?|incision|approach|leads?|sling|hump|stem|"
    r"physician|physicians|hospital|clinic|center|centre|medical|chest|et al)\b",
    re.IGNORECASE,
)
# First names that are everyday words, and in no list for that: names before a surname only.
_GIVEN = frozenset(
    {"art", "bill", "chase", "chip", "dean", "drew", "faith", "gay", "gene", "grant", "guy", "hope", "jack", "joy"}
    | {"mark", "miles", "pat", "ray", "rich", "rob", "sue", "will"}
)
# Surnames among the words that begin no name: they do behind a title.
_SHORT_SURNAMES = frozenset({"an", "do", "he", "na", "see"})
_GIVEN_BEFORE = frozenset({"No", "On", "To"})  # names as well, if a surname comes next
# What follows "DR." in a line of capitals and is no name.
_ACTS_OF_DOCTORS = frozenset(
    {"about", "agrees", "alerted", "appointment", "aware", "called", "can", "clinic", "concerning", "consulted"}
    | {"contacted", "could", "did", "does", "follow", "followup", "informed", "notified", "office", "order", "ordered"}
    | {"orders", "paged", "reached", "recommends", "regarding", "reports", "requested", "requests", "returned"}
    | {"reviewed", "said", "should", "states", "told", "visit", "wants", "will", "would"}
)
_PLACEHOLDERS = frozenset({"doe", "roe"})

_HOSPITAL_WORD = re.compile(
    r" (?:Memorial|General|Regional|Community|University|Medical(?! [Rr]ec)|Hospital|Clinic|Health)\b"
)
_ROLE = (
    r"attending|attending physician|resident|fellow|intern|nurse|physician|physician assistant|surgeon|pulmonologist|"
    r"cardiologist|radiologist|oncologist|hospitalist|technologist|tech|provider|nurse practitioner|practitioner|"
    r"technician|sonographer|charge nurse|ICU nurse|ED nurse|ED physician|house officer|intensivist|internist|"
    r"anesthesiologist|team member|colleague|consultant|referrer|clinician|therapist|coordinator|staff|"
    r"ordering clinician|referring clinician|emergency physician|care provider|RN|PA|NP|MD"
)
_PATIENT_LABEL = re.compile(
    r"\b(?:(?:patient|pt)(?:['’]s)?(?:[ \t]+(?:full|last|first|legal))?[ \t]*(?:name)|patient|pt|"
    r"name(?:[ \t]+of[ \t]+patient)?|"
    r"full[ \t]+name|last[ \t]+name|first[ \t]+name|surname|maiden[ \t]+name|re|subject|client|"
    r"(?:emergency[ \t]+)?contact|next[ \t]+of[ \t]+kin|guardian|spouse|parent)"
    r"[ \t]*(?:\([^)\n]*\))?[ \t]*[:=#|][ \t]*",
    re.IGNORECASE,
)
_DOCTOR_LABEL = re.compile(
    rf"\b(?:(?:(?:electronically|digitally)[ \t]+)?(?:signed|dictated|read|reviewed|interpreted|approved|verified|"
    rf"authenticated|"
    rf"transcribed|finalized|reported|authored|co-?signed|prepared|performed|ordered|requested|referred|edited|"
    rf"supervised|attested|typed|entered|completed|created)(?:[ \t]+(?:and|&)[ \t]+\w+)?(?:[ \t]+(?:electronically|"
    rf"digitally|out))?"
    rf"(?:[ \t]+by)?(?:[ \t]+(?:{_ROLE}))?|/s/|"
    rf"(?:(?:ordering|referring|attending|primary(?:[ \t]+care)?|consulting|interpreting|reading|reporting|dictating|"
    rf"requesting|admitting|supervising|staff|signing|responsible|performing|on-call|on[ \t]call)[ \t]+)?"
    rf"(?:{_ROLE}|doctor|pcp|md|transcriptionist|signature|signer|author|radiology[ \t]+resident|dictator)"
    rf"(?:\(s\)|s)?(?:[ \t]+(?:name|of[ \t]+record|signature))?|cc|attn|attention|copy[ \t]+to)"
    rf"[ \t]*(?:\([^)\n]*\))?[ \t]*[:=|][ \t]*",
    re.IGNORECASE,
)
_PATIENT_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Mx|Miss|Mister|Madam|Mme|Master|Señora?|Herr|Frau)\b\.?", re.IGNORECASE)
_DOCTOR_TITLE = re.compile(r"\b(?:Drs?|Doctors?|Prof|Professor)\b\.?", re.IGNORECASE)
# By which way, and when, something was said: between the verb and the "with" or "to" that a name follows.
_HOW = (
    r"(?:[ \t\n]+(?:directly|verbally|personally|urgently|in[ \t]+person|"
    r"(?:by|over|via|on|through)[ \t]+(?:the[ \t]+)?(?:tele)?phone(?:[ \t]+call)?|"
    r"(?:by|via|over)[ \t]+(?:pager|page|text|fax|e-?mail|secure[ \t]+(?:chat|message|messaging|text)|epic|vocera)|"
    r"at[ \t]+\d{1,2}:?\d{2}(?:[ \t]*(?:hours|hrs|[ap]\.?m\b\.?))?|today|yesterday))*"
)
_NO_TITLES = frozenset({"DR", "MR", "MS", "MS."})  # radiography, resonance, sclerosis, before a word that is no name
_PLAIN_TITLES = frozenset({"Dr", "Drs", "Mr", "Mrs"})  # in capitals they may be techniques: DR, MR
_BY = re.compile(
    rf"\b(?:(?:signed|dictated|read|reviewed|interpreted|approved|verified|authenticated|transcribed|finalized|"
    rf"reported|"
    rf"authored|co-?signed|performed|ordered|requested|referred|seen|evaluated|examined|placed|inserted|confirmed|"
    rf"acknowledged|supervised|attested|typed|entered|made|given|received|discussed|communicated|notified|informed|"
    rf"relayed|called|phoned|telephoned|paged)"
    rf"[ \t\n]+(?:electronically[ \t]+)?by(?![ \t\n]+(?:the[ \t]+)?(?:(?:tele)?phone|pager|page|text|fax|e-?mail|"
    rf"secure)\b)|"
    rf"(?:discussed|reviewed|communicated|shared|spoke|spoken|conferred|"
    rf"consulted|conveyed|"
    rf"telephoned|conversation|discussion|consultation|results|findings|contact|communication){_HOW}[ \t\n]+with|"
    rf"(?:communicated|called|reported|relayed|conveyed|"
    rf"telephoned|phoned|given|sent|provided|faxed|paged|delivered|transmitted|passed|addressed|referred|told|"
    rf"communication|verbally|spoke|spoken){_HOW}[ \t\n]+to|"
    rf"(?:notified|informed|alerted|contacted|paged|called|discussed[ \t]+with|reported[ \t]+to|called[ \t]+to|"
    rf"communicated[ \t]+to)[ \t]*:|"
    rf"notified|informed|alerted|contacted|paged|telephoned|per|attention|reached|told|dictated|thank(?:s| you),?)"
    rf"[ \t\n]+"
    rf"(?:(?:the|our|his|her|covering|on-call|ordering|referring|primary|treating|responsible|caring)"
    rf"[ \t\n]+)*(?:(?:{_ROLE})[ \t]*,?[ \t\n]+)?",
    re.IGNORECASE,
)
_ROLE_BEFORE = re.compile(rf"\b(?:{_ROLE})\b[ \t]*,?[ \t]+(?=[^\W\d_])", re.IGNORECASE)
_KIN = re.compile(
    r"\b(?:wife|husband|son|daughter|mother|father|sister|brother|spouse|partner|aunt|uncle|niece|nephew|cousin|"
    r"grandson|granddaughter|grandmother|grandfather|mom|dad|caregiver|caretaker|roommate|neighbor|fianc[ée]e?|"
    r"guardian|baby (?:boy|girl)|boy|girl|twin|infant|patient|pt\.?|gentleman|lady)[ \t]*,?[ \t]+(?:named[ \t]+|"
    r"called[ \t]+|is[ \t]+)?(?=[^\W\d_])",
    re.IGNORECASE,
)
_AGED = re.compile(
    r"[ \t]*,?[ \t]*(?:(?:is|was)[ \t]+)?(?:an?[ \t]+|,[ \t]*)?(?:(?:\d{1,3}|[a-z]+(?:-[a-z]+)?)[\s-]*(?:years?|yrs?|"
    r"y)[\s/.-]*(?:olds?|o)\b|"
    r"\d{1,3}[ \t]?(?:yo|y/o|[MF])\b|aged?[ \t]+\d)|"
    r"[ \t]+(?:is|was)[ \t]+an?[ \t]+(?:[a-z]+[ -]){0,3}(?:man|woman|lady|gentleman|male|female|patient|boy|girl|"
    r"veteran|smoker)\b",
    re.IGNORECASE,
)
_ACTS = re.compile(
    r"[ \t]+(?:was|has been|were|is)[ \t]+(?:\w+ly[ \t]+)?(?:notified|informed|contacted|paged|called|alerted|told|"
    r"made aware|aware|present|supervising|consulted|reached|available|updated)\b|"
    r"[ \t]+(?:acknowledged|confirmed|verbalized|read back|reviewed|agrees|agreed|dictated|interpreted|performed|"
    r"supervised|placed|was present|concurs|attests)\b",
    re.IGNORECASE,
)
_SUFFERS = re.compile(
    r"[ \t]+(?:presents|presented|returns|returned|underwent|denies|denied|reports|complains|tolerated|consented)\b",
    re.IGNORECASE,
)
_INITIALS = re.compile(
    r"\b(?:transcribed|dictated|typed|entered|transcriptionist|dictator|initials|trans|dict|tech(?:nologist)?|"
    r"operator)"
    r"(?:[ \t]+(?:by|initials))*[ \t]*[:=/#]?[ \t]*([A-Za-z]{2,3})(?=[ \t]*(?:[,;./|]|$|\d))(?:/([A-Za-z]{2,3})\b)?",
    re.IGNORECASE | re.MULTILINE,
)
# The last line of a transcription: D: 03/14/2019  T: 03/15/2019  JKM
_TRANSCRIBED = re.compile(
    r"(?m)^[ \t]*(?:.*[ \t])?(?:D|T|DD|DT|TD|Dict(?:ated)?|Trans(?:cribed)?|Typed)[ \t]*:[^\n]*?(?:\d|XX|__|\*\*)"
    r"[^\n]*?[ \t/]([A-Z]{2,4})[ \t]*$"
)
_SLASHED = re.compile(r"(?m)(?:^|[ \t])([A-Z]{2,3})[/:]([A-Za-z]{2,3})[ \t]*$")
_CREDENTIAL_AFTER = re.compile(rf"(?:[ \t]*,[ \t]*|[ \t]+)(?-i:{_CREDENTIAL_WORDS})(?![\w])(?![ \t]+\d{{5}})")
_PLAIN = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_PAIR = re.compile(rf"\b({_PLAIN})[ \t]+(?:([A-Z])\.?[ \t]+)?({_PLAIN})\b")
_LOWER = re.compile(r"([a-z]{2,})\b(?:[ \t]+(?:[a-z]\b\.?[ \t]+)?([a-z]{2,}(?:['-][a-z]+)*)\b)?")
_NAME = re.compile(r"(?:[^\W\d_]['’])?[^\W\d_]+(?:['’-][^\W\d_]+)*")
_RUN = re.compile(rf"{markers.MARKER.pattern}|(?:[^\W\d_]['’])?[^\W\d_]+(?:['’-][^\W\d_]+)*|[.,]|[ \t]+")
_LAST_FIRST = re.compile(rf"(?<![\w'’^-])({_PLAIN}(?:[ \t]{_PLAIN})?),[ \t]?({_PLAIN})\b(?!['’-])")
_MIDDLE = re.compile(rf"[ \t](?:([A-Z])\b\.?(?![\w'’-])|({_PLAIN})\b)")
_FIRST_LAST = re.compile(rf"(?m)^[ \t]*({_PLAIN})[ \t](?:[A-Z]\b\.?[ \t])?({_PLAIN})\b")
# As DICOM writes names: LAST^FIRST^MIDDLE
_CARETS = re.compile(r"(?<![\w^])[^\W\d_]{2,}(?:['’ -][^\W\d_]+){0,3}\^[^\W\d_]{2,}(?:\^[^\W\d_]+)*")
_NUMBER_OF_PATIENT = re.compile(
    r"\b(?:mrn|m\.r\.n|dob|d\.o\.b|date[ \t]+of[ \t]+birth|birth[ \t]?date|med(?:ical)?[ \t.]*rec\w*|record|ssn|"
    r"acc(?:ession|ount|t)?|pid|patient[ \t]+id)\b|(?<![\d.])\d{6,}(?!\d)",
    re.IGNORECASE,
)
_FIELD_END = re.compile(r"[ \t]*(?:$|\n|[|;(]|[ \t]{2}|\d{6}|(?-i:MRN|DOB|M\.R\.N|D\.O\.B))")
_NEAR = 40  # characters between a name and the number of a record or the date of birth


def find(text: str) -> Iterator[Span]:
    """The spans of names in a report, by all rules; overlaps are left to the caller."""
    yield from _after_labels(text)
    yield from _after_titles(text)
    yield from _before_credentials(text)
    yield from _after_verbs(text)
    yield from _beside_ages_and_acts(text)
    yield from _initials(text)
    yield from _full_names(text)
    yield from _headers(text)


def read(text: str, start: int, *, strong: bool, label: bool = False, titled: bool = False) -> int | None:
    """The end of the name that begins at `start`, or None if none begins there.

    Args:
        text: the report.
        start: where the name would begin, white space skipped.
        strong: the words before leave no doubt, so that vocabulary (Stone, Young) is taken for a name too.
        label: the name stands in a field ("Patient: LAST, FIRST"), so that a comma may join its parts.
        titled: a title stands before it, so that hardly any word is none.
    """
    loud = spans.shouting(spans.line_of(text, start))
    at, end, parts = start, None, []
    while len(parts) < 6:
        marker = markers.MARKER.match(text, at)
        if marker:  # hides a part of the name, of which the rest is still to be read
            parts.append(_HIDDEN)
            at = (_SPACE if label else _GAP).match(text, marker.end()).end()
            at = _SPACE.match(text, at + 1).end() if text[at : at + 1] == "," else at
            continue
        particle = _PARTICLE.match(text, at)
        if particle and _is_particle(text, particle):
            at = particle.end()
        initial = _INITIAL.match(text, at)
        word = _word(text, at)
        if initial and (parts or _continues(text, initial.end(), strong)):
            at = end = initial.end()
            parts.append(initial.group())
        elif word and (_fits(text, at, parts, strong, loud) or (not parts and _may_begin(text, word, label, titled))):
            at = end = word.end()
            parts.append(word.group())
        else:
            break
        suffix = _SUFFIX.match(text, at)
        if suffix:
            at = end = suffix.end()
        at = _next(text, at, label, parts)
        if at is None:
            break
    if end is None or all(len(part.strip(".")) == 1 for part in parts if part != _HIDDEN):
        return None
    return _without_role(text, start, end)


def _is_particle(text: str, particle: re.Match) -> bool:
    """Whether "van", "de la" and the like belong to the name that follows."""
    word = _word(text, particle.end())
    return bool(word) and word.group()[0].isupper() and not words.is_vocabulary(word.group())


def _word(text: str, at: int) -> re.Match | None:
    return spans.WORD.match(text, at)


def _next(text: str, at: int, label: bool, parts: list[str]) -> int | None:
    """Where the name's next part would begin: after spaces, or after the comma of LAST, FIRST."""
    if text[at : at + 1] == "," and sum(len(part.strip(".")) > 1 for part in parts) <= 2:
        after = _SPACE.match(text, at + 1).end()
        word = _word(text, after)
        if _CREDENTIAL.match(text, after) or word is None or not _may_follow_comma(text, word, label):
            return None
        return after
    after = _GAP.match(text, at).end()
    if label and text[at:after] != " ":  # wider gaps and line ends part fields
        return None
    return after if after > at else None


def _may_follow_comma(text: str, word: re.Match, label: bool) -> bool:
    name = word.group()
    if name.lower() in words.lowered("not_names") or not name[0].isupper():
        return False
    if name.lower() in _CALENDAR or _hospital_follows(text, word.end()):
        return False
    if _is_acronym(name) and not label and not spans.shouting(spans.line_of(text, word.start())):
        return False
    follower = text[word.end() : word.end() + 1]
    return words.is_first_name(name) or not words.is_vocabulary(name) or (label and follower in {"", "\n", ",", ";"})


def _continues(text: str, at: int, strong: bool) -> bool:
    """Whether a name goes on after an initial."""
    after = _SPACE.match(text, at).end()
    if _INITIAL.match(text, after):
        return _continues(text, _INITIAL.match(text, after).end(), strong)
    particle = _PARTICLE.match(text, after)
    after = particle.end() if particle else after
    word = _word(text, after)
    return bool(word) and _fits(text, after, [], strong, False) and word.group()[0].isupper()


def _fits(text: str, at: int, parts: list[str], strong: bool, loud: bool) -> bool:
    """Whether the word at `at` can be the next part of a name of which `parts` were read."""
    word = _word(text, at)
    if word is None:
        return False
    name, low = word.group(), word.group().lower()
    if (
        low in words.lowered("not_names")
        or (parts and (low in _CALENDAR or _CREDENTIAL.fullmatch(name)))
        or re.match(r"\d", text[word.end() : word.end() + 1])
    ):
        return False
    capital, known, listed = name[0].isupper(), words.is_vocabulary(name), words.is_listed_name(name)
    if _hospital_follows(text, word.end()):
        return False
    if set(parts) <= {_HIDDEN}:  # behind a marker, the words before it speak for less
        return _begins(text, word, strong and not parts, loud, capital, known, listed)
    if not capital:
        surname = low in words.lowered("surnames") and words.is_first_name(parts[-1])
        return strong and (surname or not known) and parts[-1].islower() and len(name) > 2
    if name.isupper() and len(name) <= 4 and known and not loud:
        return False
    if known and _EPONYM_NOUN.match(text, word.end()) and not listed:
        return False
    if not known:
        return True
    given_only = _HIDDEN not in parts and sum(len(part.strip(".")) > 1 for part in parts) == 1 and not loud
    if not listed and text[:at].rstrip(" \t").endswith("\n"):  # Dr. Okafor, and below: Lungs are clear
        return False
    return (listed or given_only) and (not loud or listed) and low not in _CALENDAR


def _begins(text: str, word: re.Match, strong: bool, loud: bool, capital: bool, known: bool, listed: bool) -> bool:
    name = word.group()
    if strong:
        if not known:
            return capital or len(name) > 2
        if not capital or name.lower() in _CALENDAR - {"may", "april", "june", "august"}:
            return False
        return listed or not loud
    if not capital or len(name) < 2 or name.lower() in _CALENDAR:
        return False
    if words.is_eponym(name) and (_EPONYM_NOUN.match(text, word.end()) or not listed):
        return False
    if known:
        given = listed or (name.lower() in _GIVEN and _surname_follows(text, word.end()))
        return given and not loud and not _EPONYM_NOUN.match(text, word.end())
    if name.isupper() and len(name) <= 4 and not listed:
        # An acronym (PACU), unless a line of capitals goes on with another word that has no meaning.
        follower = _word(text, _SPACE.match(text, word.end()).end()) if loud else None
        return follower is not None and not words.is_vocabulary(follower.group())
    return True


def _may_begin(text: str, word: re.Match, label: bool, titled: bool) -> bool:
    """Whether a word of another meaning begins a name for its label (DOE JANE) or its title."""
    if label and word.group().isupper() and word.group().lower() not in words.lowered("not_names"):
        given = _word(text, _SPACE.match(text, word.end()).end())
        if given and words.is_first_name(given.group()) and not words.is_vocabulary(given.group()):
            return text[word.end() : given.start()] == " "
    return titled and _bears_title(text, word)


def _bears_title(text: str, word: re.Match) -> bool:
    """Whether a word that has another meaning too is a name behind "Dr." or "Mr."."""
    low = word.group().lower()
    if _hospital_follows(text, word.end()) or text[word.end() : word.end() + 1].isdigit():
        return False
    if low in _SHORT_SURNAMES:
        return word.group()[0].isupper() or _surname_follows(text, word.end(), capital=False)
    if word.group() in _GIVEN_BEFORE:
        return _surname_follows(text, word.end())
    if low in words.lowered("not_names") or low in _ACTS_OF_DOCTORS or low in _CALENDAR:
        return False
    return word.group()[0].isupper() or low in words.lowered("surnames")


def _surname_follows(text: str, at: int, capital: bool = True) -> bool:
    """Whether a word comes next, capitalised unless `capital` is False, that is a name before anything else."""
    word = _word(text, _SPACE.match(text, at).end())
    if word is None or word.start() == at or (capital and not word.group()[0].isupper()):
        return False
    return words.is_listed_name(word.group()) or not (
        words.is_vocabulary(word.group()) or words.is_eponym(word.group()) or _is_acronym(word.group())
    )


def _hospital_follows(text: str, at: int) -> bool:
    return bool(_HOSPITAL_WORD.match(text, at))


def _without_role(text: str, start: int, end: int) -> int | None:
    """Cut words that are roles or fields from a name's end."""
    part = text[start:end].rstrip(" ,")
    return start + len(part) if part else None


def _span(text: str, start: int, end: int | None, category: str, detector: str, certain: bool) -> Iterator[Span]:
    if end is not None and end > start:
        possessive = re.search(r"['’]s$", text[start:end], re.IGNORECASE)
        end -= len(possessive.group()) if possessive else 0
        yield Span(start, end, category, detector, certain)


def _after_labels(text: str) -> Iterator[Span]:
    for label, category in ((_PATIENT_LABEL, "patient"), (_DOCTOR_LABEL, "doctor")):
        for match in label.finditer(text):
            start = match.end()
            title = (_DOCTOR_TITLE if category == "doctor" else _PATIENT_TITLE).match(text, start)
            if title:
                start = _SPACE.match(text, title.end()).end()
            yield from _list_of(text, start, category, "label", label=True)


def _after_titles(text: str) -> Iterator[Span]:
    for title, category in ((_PATIENT_TITLE, "patient"), (_DOCTOR_TITLE, "doctor")):
        for match in title.finditer(text):
            if (
                match.group().lower().rstrip(".") in {"master", "miss", "doctor", "doctors", "ms", "professor"}
                and not match.group()[0].isupper()
            ):
                continue
            start = _GAP.match(text, match.end()).end()
            if start == match.end() and not match.group().endswith("."):
                continue
            word = _word(text, start)
            if match.group() in _NO_TITLES and word and _only_word(word.group()):
                continue
            many = match.group().lower().startswith(("drs", "doctors"))
            if category == "patient" and re.match(r"ms\b[. ]+(?:is|was|patient)", text[match.start() :], re.IGNORECASE):
                continue
            titled = match.group().endswith(".") or match.group() in _PLAIN_TITLES
            yield from _list_of(text, start, category, "title", many=many, titled=titled)


def _only_word(word: str) -> bool:
    return words.is_vocabulary(word) and not words.is_listed_name(word)


def _list_of(
    text: str,
    start: int,
    category: str,
    detector: str,
    *,
    label: bool = False,
    many: bool = False,
    titled: bool = False,
) -> Iterator[Span]:
    """The name at `start`, and those that are joined to it by "and", "/" or ";"."""
    while True:
        end = read(text, start, strong=True, label=label, titled=titled)
        if label and end is not None and not _is_field(text, start, end):
            end = None
        if end is None:
            return
        yield from _span(text, start, end, category, detector, True)
        joint = re.compile(
            r"[ \t]*(?:,?[ \t]+and[ \t]+|[/;&][ \t]*"
            + (r"|,[ \t]+(?:and[ \t]+)?" if many else "")
            + r")(?:Drs?\.?[ \t]+)?"
        ).match(text, end)
        if joint is None or not _goes_on(text, joint, many):
            return
        start, titled = joint.end(), False


def _goes_on(text: str, joint: re.Match, many: bool) -> bool:
    """Whether another name stands behind a joint such as "and"."""
    word = _word(text, joint.end())
    if word is None or not word.group()[0].isupper():
        return False
    if not words.is_vocabulary(word.group()):
        return True
    sure = many or "&" in joint.group() or re.match(r"[ \t]*(?:[.,;:)]|$)", text[word.end() :])
    return bool(sure) and words.is_listed_name(word.group())


def _is_field(text: str, start: int, end: int) -> bool:
    """Whether what was read after a label is a name and not the beginning of a sentence."""
    read_words = _words_of(text, start, end)
    if any(not words.is_vocabulary(word) and not words.is_eponym(word) for word in read_words if len(word) > 1):
        return True
    if any(words.is_listed_name(word) for word in read_words):
        rest = text[end : end + 20]
        return bool(re.match(r"\s*(?:$|\n|[,;|(]|\.(?:\s|$)|\s{2,}|(?:MRN|DOB|Age|Sex|MD|M\.D)\b)", rest))
    return len(read_words) >= 2 and "," in text[start:end]


def _words_of(text: str, start: int, end: int) -> list[str]:
    """The words of a stretch of text, markers left out."""
    found = (word.group() for word in spans.WORD.finditer(text, start, end))
    return [word for word in found if not markers.MARKER.fullmatch(word)]


def _before_credentials(text: str) -> Iterator[Span]:
    for match in _CREDENTIAL_AFTER.finditer(text):
        start = _read_back(text, match.start())
        if start is not None:
            yield from _span(text, start, match.start(), "doctor", "credential", True)


def _read_back(text: str, end: int) -> int | None:
    """Where the name that ends at `end` begins."""
    line_start = text.rfind("\n", 0, end) + 1
    pieces = list(_RUN.finditer(text, max(line_start, end - 80), end))
    if not pieces or pieces[-1].end() != end:
        return None
    loud = spans.shouting(spans.line_of(text, end))
    start, count, comma, at = None, 0, False, end
    for piece in reversed(pieces):
        if piece.end() != at:
            break
        at, token = piece.start(), piece.group()
        if not token.strip() or markers.MARKER.fullmatch(token):
            continue
        if token == ".":
            if not re.search(r"(?:^|[^\w])[A-Z]$|\b(?:Jr|Sr)$", text[line_start:at]):
                break
            continue
        if token == ",":
            if comma or count == 0 or count > 2:
                break
            comma = True
            continue
        low = token.lower()
        if token == "I" and comma:
            break
        known = words.is_vocabulary(token) and len(token) > 1 and low not in {"jr", "sr", "ii", "iii", "iv"}
        if (
            not token[0].isupper()
            or low in words.lowered("not_names")
            or low in _CALENDAR
            or (_CREDENTIAL.fullmatch(token) and count)
        ):
            if _PARTICLE.match(token.lower() + " x") and start is not None and not comma:
                start = at
                continue
            break
        if known and (loud or count or comma) and not words.is_listed_name(token):
            break
        start, count = at, count + (len(token) > 1)
        if count >= 4:
            break
    if start is None or count == 0:
        return None
    found = _words_of(text, start, end)
    if all(words.is_vocabulary(word) and not words.is_listed_name(word) for word in found):
        return None
    return start


def _after_verbs(text: str) -> Iterator[Span]:
    for rule, category in ((_BY, "doctor"), (_ROLE_BEFORE, "doctor"), (_KIN, "patient")):
        for match in rule.finditer(text):
            start = match.end()
            end = read(text, start, strong=False, label=False)
            end = _lower_name(text, start) if end is None else end
            if end is not None and not _is_sentence_start(text, start, within=":"):
                yield from _span(text, start, end, category, "verb", True)


def _lower_name(text: str, start: int) -> int | None:
    """The end of a name in lower case at `start`: a first name, and the surname behind it."""
    match = _LOWER.match(text, start)
    if match is None or not words.is_first_name(match.group(1)) or words.is_vocabulary(match.group(1)):
        return None
    last = match.group(2) or ""
    other = words.is_vocabulary(last) or last in words.lowered("not_names")
    named = last in words.lowered("surnames") | _PLACEHOLDERS or not other
    return match.end(2) if last and named else match.end(1)


def _is_sentence_start(text: str, start: int, within: str = "") -> bool:
    """Whether a sentence begins at `start`; behind the signs of `within` none does."""
    before = text[:start].rstrip()
    return not before or (before[-1] in ".!?:" and before[-1] not in within) or text[:start].endswith("\n")


def _beside_ages_and_acts(text: str) -> Iterator[Span]:
    """Names before "is a 45-year-old", before "was notified" and before "presents"."""
    for word in spans.WORD.finditer(text):
        if not word.group()[0].isupper() or word.group().lower() in words.lowered("not_names"):
            continue
        suffers = _AGED.match(text, word.end()) or _SUFFERS.match(text, word.end())
        if not suffers and not _ACTS.match(text, word.end()):
            continue
        start = _read_back(text, word.end())
        if start is None or (words.is_eponym(word.group()) and not words.is_listed_name(word.group())):
            continue
        named = _words_of(text, start, word.end())
        unknown = any(not words.is_vocabulary(name) and not _is_acronym(name) for name in named)
        if unknown or (len(named) > 1 and words.is_first_name(named[0])):
            yield from _span(text, start, word.end(), "patient" if suffers else "doctor", "beside", True)


def _is_acronym(name: str) -> bool:
    return name.isupper() and len(name) <= 5 and not words.is_listed_name(name)


def _initials(text: str) -> Iterator[Span]:
    for match in _TRANSCRIBED.finditer(text):
        if match.group(1) not in {"AM", "PM", "EST", "EDT", "CST", "CDT", "PST", "PDT", "UTC", "GMT"}:
            yield Span(*match.span(1), "doctor", "initials")
    for rule in (_INITIALS, _SLASHED):
        for match in rule.finditer(text):
            for group in (1, 2):
                value = match.group(group)
                if value and not words.is_vocabulary(value) and value.lower() not in words.lowered("not_names"):
                    yield Span(match.start(group), match.end(group), "doctor", "initials")


def _full_names(text: str) -> Iterator[Span]:
    """A first name, or any word without another meaning, before a capitalised word without one, in mixed case."""
    at = 0
    while match := _PAIR.search(text, at):
        at = match.end(1)
        first, last = match.group(1), match.group(3)
        if not (_is_title(first) and _is_title(last)) or spans.shouting(spans.line_of(text, match.start())):
            continue
        free = (
            not words.is_vocabulary(last)
            and not words.is_eponym(last)
            and last.lower() not in words.single_words("states")
        )
        lone = (
            not words.is_vocabulary(first)
            and not words.is_eponym(first)
            and first.lower() not in words.single_words("states")
        )
        surname = free or (words.is_listed_name(last) and not words.is_vocabulary(last))
        if (
            surname
            and ((words.is_first_name(first) and not words.is_vocabulary(first)) or lone)
            and not _EPONYM_NOUN.match(text, match.end())
        ):
            certain = words.is_first_name(first)
            yield from _span(text, match.start(), match.end(), "patient", "pair", certain)


def _headers(text: str) -> Iterator[Span]:
    """Names that no label leads to but that stand as in a header: LAST, FIRST; FIRST LAST; LAST^FIRST."""
    for match in _CARETS.finditer(text):
        yield from _span(text, *match.span(), "patient", "header", True)
    for match in _LAST_FIRST.finditer(text):
        end = _middle_end(text, match.end())
        start = next((start for start in _surnames(match) if _heads(text, start, match, end)), None)
        if start is not None:
            yield from _span(text, start, end, "patient", "header", True)
    for match in _FIRST_LAST.finditer(text):
        first, last = match.groups()
        field = _FIELD_END.match(text, match.end()) and _number_near(text, match.end(), match.end())
        given = words.is_first_name(first) and not words.is_vocabulary(first)
        if field and given and not _only_word(last) and (words.is_listed_name(last) or not _is_place(last)):
            yield from _span(text, match.start(1), match.end(), "patient", "header", True)


def _middle_end(text: str, at: int) -> int:
    """Where a name ends of which the first name ends at `at`: behind its middle name or initial, if it has one."""
    middle = _MIDDLE.match(text, at)
    own = middle and (middle.group(1) or (words.is_first_name(middle.group(2)) and middle.group(2)[0].isupper()))
    return middle.end() if own else at


def _surnames(match: re.Match) -> Iterator[int]:
    """Where the surname before a comma may begin: with the word before it (De Silva), or with it alone."""
    yield match.start()
    if " " in match.group(1) or "\t" in match.group(1):
        yield match.end(1) - len(match.group(1).split()[-1])


def _heads(text: str, start: int, match: re.Match, end: int) -> bool:
    """Whether LAST, FIRST from `start` to `end` is a patient's name, by its words and by what stands beside it."""
    last, first = text[start : match.end(1)].split(), match.group(2)
    if not all(word[0].isupper() for word in (*last, first)) or _EPONYM_NOUN.match(text, end):
        return False
    if any(word.lower() in words.lowered("not_names") or word.lower() in _CALENDAR for word in (*last, first)):
        return False
    begins = bool(re.search(r"(?:^|\n|[|\d][ \t]|[ \t]{2})[ \t]*$", text[max(0, start - _NEAR) : start]))
    near = _number_near(text, start, end)
    given, word = words.is_first_name(first), words.is_vocabulary(first)
    known = any(_only_word(part) for part in last)
    if near and given:
        return not known or (begins and not word)
    unknown = not known and not any(_has_other_sense(part) for part in last)
    if near and begins:  # neither has another meaning
        return unknown and not word and not _has_other_sense(first) and min(len(first), len(last[-1])) > 3
    return begins and unknown and given and not word and bool(_FIELD_END.match(text, end))


def _has_other_sense(name: str) -> bool:
    """Whether a name that no list has stands for a sign, a maker or a place."""
    return not words.is_listed_name(name) and (words.is_eponym(name) or _is_place(name))


def _is_place(word: str) -> bool:
    return any(word.lower() in words.single_words(places) for places in ("cities", "states"))


def _number_near(text: str, start: int, end: int) -> bool:
    """Whether a patient's number or birth stands shortly before `start` or behind `end`."""
    behind = _NUMBER_OF_PATIENT.search(text[end : end + _NEAR])
    return bool(behind or _NUMBER_OF_PATIENT.search(text[max(0, start - _NEAR) : start]))


def _is_title(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and not word.isupper()


def propagate(text: str, names: dict[str, str]) -> Iterator[Span]:
    """Further mentions of names that are known for sure.

    Args:
        text: a report of the same patient.
        names: each certain name (whole, or one word of it, see `parts`), and its category.
    """
    for match in _NAME.finditer(text):
        name = re.sub(r"['’]s$", "", match.group())
        category = names.get(_folded(name))
        if category is None or (_EPONYM_NOUN.match(text, match.end()) and words.is_eponym(name)):
            continue
        if _is_mention(text, match.start(), name):
            yield Span(match.start(), match.start() + len(name), category, "known name")


def _is_mention(text: str, start: int, name: str) -> bool:
    """Whether a known name that stands at `start` means the person there and not the word."""
    if not name[0].isupper():
        return len(name) >= 4 and not words.is_vocabulary(name) and not words.is_eponym(name)
    if not words.is_vocabulary(name):
        return True
    loud = spans.shouting(spans.line_of(text, start)) or name.isupper()
    return words.is_listed_name(name) and not loud and not _is_sentence_start(text, start)


def parts(name: str) -> Iterator[str]:
    """The words of a name, double names also by halves, in lower case, that may be looked for by themselves."""
    for word in _NAME.finditer(name):
        whole = _folded(word.group())
        for low in dict.fromkeys([whole, *whole.split("-")]):
            if len(low) >= 3 and not re.fullmatch(r"jr|sr|iii|van|von|der|den|del|dos|bin|ibn", low):
                yield low


def _folded(name: str) -> str:
    return name.lower().replace("’", "'")
