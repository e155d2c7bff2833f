"""What an instruction-tuned model is asked: a report of all and only these concepts, given their definitions."""

from collections.abc import Sequence

from synvlp.concepts import writing
from synvlp.concepts.vocabulary import Concept

Message = dict[str, str]  # role and content, as chat templates and OpenAI's protocol have it

_ROLE = "You are a radiologist who dictates reports of frontal chest radiographs."
_TASK = """\
Write the report of one frontal chest radiograph of one patient.

Findings that are present, each with its definition:
{findings}

Anatomical structures to name:
{anatomy}

Rules:
- First the section FINDINGS, in full sentences. It names every finding and every structure of these lists.
- Say of no other finding that it is present or possible. Use the names above, or the synonyms that stand with them.
- Then the section IMPRESSION, which summarises the findings in one to three sentences and adds none.
- No dates, names, comparisons with earlier studies or advice. No lists and no other headings.

Answer in this form:
FINDINGS: ...
IMPRESSION: ..."""


def messages(request: writing.Request) -> list[Message]:
    """The conversation that asks for a report; from the second attempt on, with the last answer and its faults."""
    asked = [{"role": "system", "content": _ROLE}, {"role": "user", "content": _asked(request.concepts)}]
    if request.attempt == 0:
        return asked
    return [
        *asked,
        {"role": "assistant", "content": request.last},
        {"role": "user", "content": correction(request.problem)},
    ]


def correction(problem: writing.Problem) -> str:
    """What was wrong with an answer, as a request to write it again."""
    lines = ["That report does not fit the lists."]
    if problem.form:
        lines.append("It needs both sections, FINDINGS: and IMPRESSION:, each with text.")
    if problem.missing:
        lines.append(f"These are not named, or not as present, in FINDINGS: {', '.join(problem.missing)}.")
    if problem.added:
        lines.append(f"These are named as present and must not be: {', '.join(problem.added)}.")
    return " ".join([*lines, "Write the whole report again, in the same form."])


def _asked(concepts: Sequence[Concept]) -> str:
    findings = [concept for concept in concepts if concept.kind != writing.ANATOMY]
    anatomy = [concept for concept in concepts if concept.kind == writing.ANATOMY]
    return _TASK.format(findings=_lines(findings), anatomy=_lines(anatomy))


def _lines(concepts: Sequence[Concept]) -> str:
    return "\n".join(map(_line, concepts)) or "- none"


def _line(concept: Concept) -> str:
    plain = [synonym for synonym in concept.synonyms if "*" not in synonym]  # the others are patterns
    also = f" (also: {', '.join(plain)})" if plain else ""
    meaning = f": {concept.definition}" if concept.definition else ""
    return f"- {concept.name}{also}{meaning}"
