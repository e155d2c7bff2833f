"""Invented identifiers and where they stand in a report.

First and last names are real but rare in the United States, hospitals, streets and towns are made up, so that
no list of common names finds them. While a report is written, an identifier is text between two private
characters; `spans` takes them out again and says where the identifiers stand.
"""

import datetime
import re
from dataclasses import dataclass

import numpy as np

CATEGORIES = (
    "patient",
    "doctor",
    "date",
    "age",
    "record",
    "accession",
    "phone",
    "hospital",
    "address",
    "device",
)


def _words(text: str, mark: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(mark))


FEMALE = _words(
    "Aukje Femke Froukje Geesje Hiske Jeltje Maaike Nienke Sietske Tjitske Wietske Aamu Eevamaija Hillevi Ilta "
    "Kaisu Lahja Maritta Orvokki Pirkko Raakel Sisko Tuulikki Vuokko Adaeze Chidimma Chinwe Ifeoma Kosisochukwu "
    "Ngozi Nkiruka Obiageli Uzoamaka Angharad Blodwen Ceridwen Eluned Gwenllian Heledd Lowri Myfanwy Nerys Sioned "
    "Agnieszka Bogumila Czeslawa Dobroslawa Grazyna Jadwiga Malgorzata Stanislawa Wieslawa Zdzislawa Ainhitze Arantxa "
    "Edurne Garbine Itziar Izaskun Maialen Nekane Zurine Kayalvizhi Malarvizhi Meenakshi Poongodi Tamilselvi "
    "Thenmozhi Vasuki Yazhini Astridur Gudlaug Hrafnhildur Ragnheidur Thorbjorg Kadri Reelika Tiiu Ulle"
)
MALE = _words(
    "Auke Douwe Feike Gjalt Hessel Jelle Oene Rienk Sjoerd Tjeerd Wiebe Wybren Eerikki Heikki Jorma Kalervo "
    "Kyosti Lassi Onni Paavo Reijo Seppo Tapio Urho Veikko Chukwuemeka Ebuka Ifeanyi Ikechukwu Kelechi Nnamdi "
    "Obinna Okwudili Uchenna Aneirin Cadfael Eurig Geraint Ifor Llywelyn Merfyn Taliesin Trefor Bogdan Czeslaw "
    "Dobromir Grzegorz Jaroslaw Krzysztof Mieczyslaw Slawomir Wladyslaw Zbigniew Aritz Benat Eneko Gorka Inaki "
    "Joseba Koldo Mattin Unai Xabier Arivazhagan Elangovan Ilango Kathiravan Murugesan Nedumaran Senthamil "
    "Thirumalai Vetrivel Asgrimur Hallgrimur Sigurjon Thorvaldur Aivar Tarmo Veljo Ulo"
)
SURNAMES = _words(
    "Bruinsma, Dijkstra, Feenstra, Haarsma, Hoekema, Kloosterman, Miedema, Oosterhuis, Postma, Rietveld, "
    "Sijbrandij, Terpstra, Veenstra, Wiersma, Zijlstra, Zwaagstra, Aaltonen, Hakkarainen, Heikkinen, "
    "Jarvinen, Kankkunen, Karjalainen, Lehtonen, Makinen, Nieminen, Ojanpera, Pesonen, Rautiainen, "
    "Savolainen, Tuominen, Vainikka, Ylitalo, Achebe, Anyanwu, Chukwudi, Ezeanyika, Igwebuike, Madubuike, "
    "Nwachukwu, Nwosuocha, Obiakor, Okonkwo, Onwuachi, Umezurike, Cadwgan, Gwilliam, Llewelfryn, Prys-Llwyd, "
    "Penhallow, Prydderch, Rhydderch, Tregarth, Trevanion, Ystradwel, Bielawska, Chmielewski, Dabrowski-Lis, "
    "Grabarczyk, Jablonowski, Krawczyszyn, Lewandowicz, Mroczkowski, Przybylski, Sienkiewicz, Szczepaniak, "
    "Wasilewski, Zielonka, Aguirrezabala, Arrizabalaga, Basterrechea, Echeandia, Etxeberria, Goikoetxea, "
    "Ibarretxe, Larrazabal, Mendizabal, Olabarria, Urkullu, Zubizarreta, Alagappan, Chidambaram, Elumalai, "
    "Gnanasekaran, Kumaraswamy-Ravi, Muthukrishnan, Ponnuswamy, Ramalingam, Sivasubramanian, Thiruvengadam, "
    "Vaidyanathan, Gunnlaugsson, Hafsteinn, Thorvaldsdottir, Tammsaare, Kuusik, Magi-Lepik, Sildaru, "
    "Tchaikvani, Gelashvili, Kvaratskhelia, Rustavelidze, van der Heijde, ter Braake, de Vlugt, van Ooijen",
    ", ",
)
HOSPITAL_NAMES = _words(
    "Oakhollow;Brannoch;Tessaly Ridge;Marrowfield;Quillhaven;Saint Brannoc's;Larkmere;Thistledown Valley;"
    "Castlemoor;Wrenfield;Penhallick;Saint Odilon's;Greywater;Hollinshead;Vantreight;Millrace;Ashcombe Park;"
    "Corvedale;Tamsel Bay;Fenwick Moor;Saint Eskil's;Norrington Heath;Ellerslie;Dunmarrow",
    ";",
)
HOSPITAL_KINDS = (
    "Hospital",
    "Medical Center",
    "Regional Medical Center",
    "Clinic",
    "Memorial Hospital",
    "Community Hospital",
    "Health Center",
    "Rehabilitation Hospital",
    "Imaging Center",
)
STREETS = _words(
    "Wethersley;Tanbark;Quarrystone;Larkmoor;Old Tollgate;Brindlewood;Cooperage;Hazelmere;Saltmarsh;Thornapple;"
    "Weir Meadow;Bellfounder;Fiddlehead;Gristmill;Inkberry;Kittiwake;Ploughshare;Ropewalk;Shadbush;Whinstone",
    ";",
)
STREET_KINDS = (
    "Street",
    "St",
    "St.",
    "Avenue",
    "Ave",
    "Road",
    "Rd",
    "Lane",
    "Ln",
    "Drive",
    "Dr",
    "Court",
    "Blvd",
    "Way",
)
TOWNS = _words(
    "Kesselwick;Marlstone;Vierhaven;Tuckahannock;Ostrander Falls;Pennywhistle;Brackenthwaite;Quassaick;Dellhurst;"
    "Umbagog Landing;Swanscott;Torrinford;Wappasett;Harrowgate Mills;Ellisburgh Crossing;Nunnemaker",
    ";",
)
STATES = {
    "OH": "Ohio",
    "PA": "Pennsylvania",
    "NE": "Nebraska",
    "OR": "Oregon",
    "ME": "Maine",
    "IN": "Indiana",
    "MT": "Montana",
    "WI": "Wisconsin",
    "VT": "Vermont",
}

_OPEN = "\ue000"
_CLOSE = "\ue001"
_FIRST = 0xE010
_PLANTED = re.compile(f"{_OPEN}(.)([^{_CLOSE}]*){_CLOSE}", re.DOTALL)


@dataclass(frozen=True)
class Person:
    first: str
    last: str
    sex: str

    @property
    def initials(self) -> str:
        return self.first[0] + self.last.split()[-1][0]


@dataclass(frozen=True)
class Identity:
    """What identifies a patient, the same in all studies."""

    name: Person
    record: str
    address: str
    town: str
    phone: str
    hospital: str
    doctor: Person  # who sends the patient
    serial: str  # of an implanted device


def planted_words() -> frozenset[str]:
    """All words of the lists above that are names, in lower case; no list used for detecting may hold one."""
    names = (*FEMALE, *MALE, *SURNAMES, *HOSPITAL_NAMES, *STREETS, *TOWNS)
    words = {word.lower().removesuffix("'s") for name in names for word in re.split(r"[ -]", name)}
    return frozenset(words - _ORDINARY)


# Parts of invented names that are ordinary words as well.
_ORDINARY = frozenset(
    {
        "van",
        "der",
        "ter",
        "de",
        "saint",
        "ridge",
        "valley",
        "park",
        "bay",
        "moor",
        "heath",
        "old",
        "falls",
        "landing",
        "mills",
        "crossing",
        "meadow",
    }
)


def plant(category: str, text: str) -> str:
    """`text`, marked as an identifier of a category."""
    return f"{_OPEN}{chr(_FIRST + CATEGORIES.index(category))}{text}{_CLOSE}"


def spans(marked: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The plain text of a marked one, and (category, start, end) of its identifiers, in order."""
    plain, found, place, length = [], [], 0, 0
    for match in _PLANTED.finditer(marked):
        before, text = marked[place : match.start()], match.group(2)
        plain += [before, text]
        start = length + len(before)
        length = start + len(text)
        found.append((CATEGORIES[ord(match.group(1)) - _FIRST], start, length))
        place = match.end()
    plain.append(marked[place:])
    return "".join(plain), found


def redact(marked: str, rng: np.random.Generator, style: str, share: float) -> str:
    """Replace a share of the identifiers by what earlier de-identification leaves: `___`, `XXXX` or `[** **]`."""

    def marker(match: re.Match) -> str:
        if rng.random() >= share:
            return match.group(0)
        if style != "[** **]":
            return style
        number = int(rng.integers(1, 12000))
        kind = _BRACKETED[CATEGORIES[ord(match.group(1)) - _FIRST]]
        return f"[**{kind} {number}**]" if kind else f"[**21{number % 90 + 10}-{number % 12 + 1}-{number % 28 + 1}**]"

    return _PLANTED.sub(marker, marked)


_BRACKETED = {
    "patient": "Known lastname",
    "doctor": "Last Name (STitle)",
    "date": "",
    "age": "Age over 90",
    "record": "Medical Record Number",
    "accession": "Clip Number (Radiology)",
    "phone": "Telephone/Fax (1)",
    "hospital": "Hospital",
    "address": "Location (un)",
    "device": "Serial Number",
}


def person(rng: np.random.Generator, sex: str = "") -> Person:
    """A name, of the given sex or of any."""
    sex = sex or _one(rng, ("F", "M"))
    return Person(_one(rng, FEMALE if sex == "F" else MALE), _one(rng, SURNAMES), sex)


def identity(rng: np.random.Generator, sex: str) -> Identity:
    """A patient's identifiers."""
    town = _one(rng, TOWNS)
    return Identity(
        name=person(rng, sex),
        record=_record(rng),
        address=_address(rng, town),
        town=town,
        phone=phone(rng),
        hospital=hospital(rng),
        doctor=person(rng),
        serial=serial(rng),
    )


def hospital(rng: np.random.Generator) -> str:
    """A hospital's name."""
    return f"{_one(rng, HOSPITAL_NAMES)} {_one(rng, HOSPITAL_KINDS)}"


def full_name(rng: np.random.Generator, who: Person) -> str:
    """A name as it stands in a sentence or a signature: with both names, an initial, or last name first."""
    form = rng.random()
    if form < 0.55:
        return f"{who.first} {who.last}"
    if form < 0.7:
        return f"{who.first} {_one(rng, 'ABCEHJKLMNPRSTW')}. {who.last}"
    if form < 0.85:
        return f"{who.first[0]}. {who.last}"
    return f"{who.last}, {who.first}"


def date(rng: np.random.Generator, day: datetime.date, *, short: bool = True) -> str:
    """A date in one of the ways that dates are written; without the year only if `short`."""
    month, number, year = day.strftime("%B"), day.day, day.year
    forms = [
        f"{day:%m/%d/%Y}",
        f"{day:%m/%d/%Y}",
        f"{day.month}/{number}/{year}",
        f"{day.month}/{number}/{year % 100:02d}",
        f"{month} {number}, {year}",
        f"{number}-{day:%b}-{year % 100:02d}",
        f"{number:02d}-{day:%b}-{year}".upper(),
        f"{day:%Y-%m-%d}",
        f"{day:%b}. {number}, {year}" if month != "May" else f"May {number}, {year}",
        f"{number} {month} {year}",
        f"{day:%m-%d-%Y}",
    ]
    if short:
        forms += [f"{day.month}/{number}", f"{month} {_ordinal(number)}", f"{month} {year}"]
    return _one(rng, forms)


def phone(rng: np.random.Generator) -> str:
    """A telephone number with its area code."""
    area, exchange, line = rng.integers(201, 990), rng.integers(200, 999), rng.integers(0, 10000)
    form = _one(
        rng, ("({}) {}-{:04d}", "{}-{}-{:04d}", "{}.{}.{:04d}", "({}){}-{:04d}", "1-{}-{}-{:04d}", "{} {} {:04d}")
    )
    return form.format(area, exchange, line)


def extension(rng: np.random.Generator) -> str:
    """A pager's or an extension's number."""
    return str(rng.integers(1000, 99999))


def accession(rng: np.random.Generator, year: int) -> str:
    """An accession number."""
    number = int(rng.integers(10_000, 10_000_000))
    forms = (
        f"CR-{year % 100:02d}-{number % 1_000_000:06d}",
        f"A{number:08d}",
        f"{year}XR{number % 1_000_000:06d}",
        f"RAD{number:07d}",
        f"{number:08d}",
        f"E{number % 100_000:05d}-{year % 100:02d}",
    )
    return _one(rng, forms)


def _record(rng: np.random.Generator) -> str:
    number = int(rng.integers(100_000, 10_000_000))
    forms = (
        f"{number:07d}",
        f"00{number}",
        f"{number // 10_000:03d}-{number // 100 % 100:02d}-{number % 100:02d}",
        f"H{number:08d}",
    )
    return _one(rng, forms)


def serial(rng: np.random.Generator) -> str:
    letters = "".join(_one(rng, "ABCDEGHJKLNPRTVWXYZ") for _ in range(3))
    number = int(rng.integers(10_000, 1_000_000))
    forms = (
        f"{letters}{number:06d}{_one(rng, 'HSG')}",
        f"{number:06d}-{letters}",
        f"{letters[0]}{number:06d}",
        f"{letters}-{number % 10_000:04d}-{letters[0]}",
    )
    return _one(rng, forms)


def _address(rng: np.random.Generator, town: str) -> str:
    number = int(rng.integers(3, 9900))
    street = f"{number} {_one(rng, STREETS)} {_one(rng, STREET_KINDS)}"
    unit = _one(
        rng, ("", "", "", f", Apt {rng.integers(1, 40)}", f" #{rng.integers(1, 40)}", f", Unit {_one(rng, 'ABCD')}")
    )
    state = _one(rng, tuple(STATES))
    code = int(rng.integers(10_000, 99_900))
    name = state if rng.random() < 0.85 else STATES[state]
    extra = f"-{rng.integers(1000, 9999)}" if rng.random() < 0.1 else ""
    return f"{street}{unit}, {town}, {name} {code}{extra}"


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _one(rng: np.random.Generator, choices):
    return choices[int(rng.integers(len(choices)))]
