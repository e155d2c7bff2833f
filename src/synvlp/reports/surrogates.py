"""Invented stand-ins for identifiers: of the same form, the same within a patient, never the original.

Every choice comes from a keyed hash (HMAC-SHA256) of the patient and the identifier, so that equal input and
key give equal text, and nobody without the key can go back. What is missed by the detectors then hides among
what was replaced (Carrell et al. 2013, "hiding in plain sight").
"""

import hashlib
import hmac
import re
from collections.abc import Iterable

from synvlp.reports import dates, spans
from synvlp.reports.lexicons import words
from synvlp.reports.spans import Span

_NAME_WORD = re.compile(r"(?:[^\W\d_]['’])?[^\W\d_]+(?:['’][^\W\d_]+)*")
_KEPT = re.compile(r"(?:Jr|Sr|II|III|IV|Dr|Drs|Mr|Mrs|Ms|and)$", re.IGNORECASE)
_PARTICLES = re.compile(
    r"\b(?:de la|de las|de los|van der|van den|von der|de|del|della|di|da|dos|das|du|van|von|der|den|bin|bint|ibn|al|"
    r"el|ter|"
    r"ten|af|abu)(?:[ \t]+|-)(?=[^\W\d_]{2})",
    re.IGNORECASE,
)
_FEMALE = re.compile(
    r"\b(?:Mrs|Ms|Miss|Mme|Madam|wife|daughter|mother|sister|aunt|niece|girl|she|her)\b\.?[ \t,]*$", re.IGNORECASE
)
_MALE = re.compile(r"\b(?:Mr|Mister|husband|son|father|brother|uncle|nephew|boy|he|his)\b\.?[ \t,]*$", re.IGNORECASE)
_BORN = re.compile(
    r"\b(?:dob|d\.o\.b\.?|birth|born|birthdate|birthday)\b[^\n\w]*(?:on[ \t]+|in[ \t]+|date[ \t:]+|is[ \t]+)?$",
    re.IGNORECASE,
)
_ADDRESS_KEPT = re.compile(
    r"(?:Apartment|Apt|Suite|Ste|Unit|Room|Rm|Floor|Fl|Building|Bldg|Lot|P|O|PO|Box|N|S|E|W|NE|NW|SE|SW|North|South|"
    r"East|West|"
    r"Northeast|Northwest|Southeast|Southwest|st|nd|rd|th|of|in|the|and)$",
    re.IGNORECASE,
)


class Surrogates:
    """The stand-ins of one patient.

    Args:
        key: the secret.
        patient: the patient's id.
        sex: F, M or "": whose first names to take for the patient where the original's sex is not known.
        max_shift: dates move by 1 to this many days, forward or back; all of the patient's by the same number.
        originals: the texts of all spans found in the patient's reports; none of their words is written again.
    """

    def __init__(self, key: bytes, patient: str, sex: str, max_shift: int, originals: Iterable[str]) -> None:
        self._key = key
        self._patient = patient
        self._sex = sex
        self._forbidden = {word.lower() for text in originals for word in re.findall(r"\w+", text)}
        self._made: dict[tuple[str, str], str] = {}
        number = self._number("date offset")
        self.offset = (number // 2 % max_shift + 1) * (1 if number % 2 else -1)

    def of(self, text: str, span: Span, year: int) -> str:
        """The stand-in for one span.

        Args:
            text: the raw report.
            span: where the identifier stands in it.
            year: the year to reckon with for dates that name none.
        """
        old = text[span.start : span.end]
        if span.category in {"patient", "doctor"}:
            return self._letters(old) if span.detector == "initials" else self._name(text, span)
        if span.category == "date":
            return self._date(text, span, year)
        if span.category == "age":
            return _age(old)
        if span.category == "phone":
            return self._phone(old)
        if span.category == "hospital":
            return self._hospital(old)
        if span.category == "address":
            return self._address(old)
        return self._code(old)

    def _number(self, *what: str) -> int:
        message = "\x1f".join((self._patient, *what)).encode()
        return int.from_bytes(hmac.digest(self._key, message, hashlib.sha256)[:8], "big")

    def _pick(self, choices: tuple[str, ...], *what: str) -> str:
        """One of the choices that shares no word with an original and is not yet taken by another."""
        taken = set(self._made.values())
        first = self._number(*what) % len(choices)
        for step in range(len(choices)):
            choice = choices[(first + step) % len(choices)]
            if choice.lower() not in taken and not self._forbidden & set(re.findall(r"\w+", choice.lower())):
                return choice
        return choices[first]

    def _name(self, text: str, span: Span) -> str:
        old = _PARTICLES.sub("", text[span.start : span.end])
        before = text[max(0, span.start - 24) : span.start]
        sex = "F" if _FEMALE.search(before) else "M" if _MALE.search(before) else ""
        if not sex and span.category == "patient" and span.detector != "verb":
            sex = self._sex
        found = list(_NAME_WORD.finditer(old))
        long = [match for match in found if len(match.group()) > 1 and not _KEPT.match(match.group())]
        given = _given(old, long)
        out, at = [], 0
        for match in found:
            word = match.group()
            out.append(old[at : match.start()])
            at = match.end()
            if _KEPT.match(word) and len(found) > 1:
                out.append(word)
            elif len(word) == 1:
                out.append(self._initial(word))
            else:
                out.append(_cased(word, self._name_word(word, match in given, sex)))
        return "".join([*out, old[at:]])

    def _name_word(self, word: str, given: bool, sex: str) -> str:
        memory = ("name", word.lower())
        if memory not in self._made:
            sex = words.sex_of(word) or sex or ("F" if self._number("sex", word.lower()) % 2 else "M")
            listed = words.is_first_name(word) and word.lower() not in words.lowered("surnames")
            lists = ("first_names_female" if sex == "F" else "first_names_male") if given or listed else "surnames"
            choices = tuple(name for name in words.entries(lists) if not words.is_vocabulary(name))
            if lists != "surnames":
                choices = tuple(name for name in choices if words.sex_of(name) == sex)
            self._made[memory] = self._pick(choices, "name", word.lower()).lower()
        return next(iter([_spelled(self._made[memory])]))

    def _initial(self, letter: str) -> str:
        """The first letter of the stand-in, if the initial stands for one word only; else any other letter."""
        firsts = {
            new[0] for (kind, old), new in self._made.items() if kind == "name" and old.startswith(letter.lower())
        }
        new = firsts.pop() if len(firsts) == 1 else _other(letter.lower(), self._number("initial", letter.lower()))
        return new.upper() if letter.isupper() else new

    def _letters(self, old: str) -> str:
        out = [
            _other(letter.lower(), self._number("letters", old.lower(), str(place))) for place, letter in enumerate(old)
        ]
        return "".join(new.upper() if letter.isupper() else new for letter, new in zip(old, out, strict=True))

    def _date(self, text: str, span: Span, year: int) -> str:
        part = text[span.start : span.end]
        every = list(dates.find(text))
        found = [date for date in every if date.start < span.end and span.start < date.end]
        if not found:
            return self._code(part)
        latest = max((date.year for date in every if date.year), default=year)
        out, at = [], span.start
        for date in found:
            # A birth more than 90 years ago would tell an age over 89.
            years = latest - 90 - (date.year or latest) if _BORN.search(text[: date.start]) else 0
            days = self.offset + max(0, round(365.25 * years))
            out += [text[at : date.start], dates.shift(text, date, days, year)]
            at = date.end
        return "".join([*out, text[at : span.end]])

    def _code(self, old: str) -> str:
        """Digits become digits and letters letters of the same case; a first zero stays, other signs too."""
        plain = re.sub(r"[\W_]", "", old).lower()
        for attempt in range(100):
            new, place = [], 0
            for sign in old:
                if sign.isalnum():
                    new.append(self._sign(sign, place, plain, attempt))
                    place += 1
                else:
                    new.append(sign)
            made = "".join(new)
            if made.lower() not in self._forbidden and made.lower() != old.lower():
                return made
        return made

    def _sign(self, sign: str, place: int, plain: str, attempt: int) -> str:
        number = self._number("code", plain, str(place), str(attempt))
        if sign.isdigit():
            if place == 0:
                return "0" if sign == "0" else str(number % 9 + 1)
            return str(number % 10)
        new = "abcdefghjkmnpqrstuvwxyz"[number % 23]
        return new.upper() if sign.isupper() else new

    def _phone(self, old: str) -> str:
        """A number of the fictional range 555-0100 to 555-0199 where there are ten digits; else other digits."""
        if "@" in old:
            user = self._pick(words.entries("surnames"), "mail", old.lower()).lower()
            return f"{re.sub('[^a-z]', '', user)}{self._number('mail', old.lower()) % 90 + 10}@example.org"
        if re.match(r"https?:|www\.", old, re.IGNORECASE):
            return ("" if old.lower().startswith("www") else "https://") + "www.example.org"
        digits = re.sub(r"\D", "", old)
        country = old.startswith(("+", "1")) and digits.startswith("1") and len(digits) >= 11
        new = list(re.sub(r"\D", "", self._code(digits)))
        start = 1 if country else 0
        if len(digits) - start >= 10 and (country or not old.startswith("+")):
            area = 200 + self._number("area", digits) % 700
            area += 1 if area % 100 == 11 else 0
            line = 100 + self._number("line", digits) % 100
            new[start : start + 10] = f"{area:03d}555{line:04d}"
            new[:start] = digits[:start]
        signs = iter(new)
        return re.sub(r"\d", lambda _: next(signs), old)

    def _hospital(self, old: str) -> str:
        """Another name before the words that say what it is; those stay."""
        kinds = words.single_words("hospital_words") | {"university", "system", "county", "state", "st", "saint"}
        kinds = kinds - {"memorial", "general", "community"} | {"of", "the", "at", "for", "and"}
        found = list(re.finditer(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*", old))
        if len(found) == 1 and old.isupper() and len(old) <= 5:
            return self._letters(old)
        out, at, written = [], 0, False
        for match in found:
            word = match.group().lower()
            keep = word in kinds or (word in {"memorial", "general", "community", "regional"} and written)
            if keep:
                out += [old[at : match.start()], match.group()]
                written = False if word in {"of", "at", "for"} else written
            elif not written:
                out += [old[at : match.start()], _cased(match.group(), self._own("hospital_names", word))]
                written = True
            at = match.end()
        made = "".join([*out, old[at:]])
        return made if made.lower() != old.lower() else f"{self._own('hospital_names', old.lower())} {old}"

    def _own(self, lists: str, word: str) -> str:
        memory = (lists, word)
        if memory not in self._made:
            self._made[memory] = self._pick(words.entries(lists), lists, word).lower()
        return _spelled(self._made[memory])

    def _address(self, old: str) -> str:
        """Other digits, another street, another city; the kind of street, the unit's name and the state stay."""
        states = {spelled for state in words.entries("states") for spelled in (state, state.upper())}
        kept = [
            match.span()
            for state in states
            for match in re.finditer(rf"\b{re.escape(state)}\b(?=\W*(?:\d{{5}}|$))", old)
        ]
        tokens = list(re.finditer(r"\d+|[^\W\d_]+(?:['’.-][^\W\d_]+)*", old))
        out, at, last = [], 0, None
        for number, match in enumerate(tokens):
            word, before = match.group(), old[: match.start()]
            out.append(old[at : match.start()])
            at = match.end()
            in_street = bool(re.search(r"\d", before)) and "," not in before
            in_state = number > 0 and any(start <= match.start() and match.end() <= end for start, end in kept)
            suffix = in_street and number and word.lower() in words.lowered("street_suffixes")
            place = "street_names" if in_street else "cities"
            if word.isdigit():
                out.append(self._code(word))
            elif in_state or suffix or _ADDRESS_KEPT.match(word):
                out.append(word)
            elif len(word) == 1:
                out.append(self._letters(word))
            elif last == place and not old[tokens[number - 1].end() : match.start()].strip():
                out[-1] = ""  # one stand-in for a name of several words
                continue
            else:
                out.append(_cased(word, self._own(place, word.lower())))
                last = place
                continue
            last = None
        return "".join([*out, old[at:]])


def _given(old: str, long: list[re.Match]) -> list[re.Match]:
    """Which words of a name are first names: those after the comma, or all before the last (or double) one."""
    comma = old.find(",")
    if comma >= 0:
        return [match for match in long if match.start() > comma]
    last = len(long) - 1
    while last > 0 and old[long[last - 1].end() : long[last].start()] in {"-", "‐"}:
        last -= 1
    return long[:last]


def _spelled(low: str) -> str:
    """A listed name or word as its list spells it."""
    for name in ("surnames", "first_names_female", "first_names_male", "hospital_names", "street_names", "cities"):
        for entry in words.entries(name):
            if entry.lower() == low:
                return entry
    return low.title()


def _cased(old: str, new: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new.lower() if old.islower() else new


def _other(letter: str, number: int) -> str:
    others = [other for other in "abcdefghijklmnoprstvw" if other != letter]
    return others[number % len(others)]


def _age(old: str) -> str:
    if old.isdigit():
        return "90"
    return _cased(old, "Nonagenarian" if old.lower() == "centenarian" else "Ninety")


def originals(text: str, found: Iterable[Span]) -> list[str]:
    """The texts of spans, dates left out (their parts are numbers that others share)."""
    return [text[span.start : span.end] for span in spans.union(found) if span.category not in {"date", "age"}]
