"""How concepts and a report become one text for a small language model: names first, then the report."""

from collections.abc import Sequence

CONCEPTS, REPORT, IMPRESSION, END = "<|concepts|>", "<|report|>", "<|impression|>", "<|end|>"
SPECIAL = (END, CONCEPTS, REPORT, IMPRESSION)


def condition(names: Sequence[str]) -> str:
    """What a report is conditioned on: the names of its concepts."""
    return f"{CONCEPTS}{'; '.join(names)}{REPORT}"


def body(findings: str, impression: str) -> str:
    """A report as the model writes it."""
    return f" {' '.join(findings.split())}{IMPRESSION} {' '.join(impression.split())}{END}"


def sections(written: str) -> str:
    """What the model wrote, up to its end, as a text with the headings FINDINGS and IMPRESSION."""
    findings, _, impression = written.partition(END)[0].partition(IMPRESSION)
    return f"FINDINGS: {findings.strip()}\nIMPRESSION: {impression.strip()}"
