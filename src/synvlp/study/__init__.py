"""The study: the schema of the whole config, its check, and what each rule passes to its job.

sections: the classes of the config, gathered from the jobs. reading: overlays and environment variables. checks and
problems: what is wrong, in words. checked: a checked config, and the files that rules ask it for, with sources,
quality and curation for these sections and shown for the page. jobs: each rule's job, settings and keys.

Every setting is defined once, in its job's module; the classes here only gather them. No job imports
this package, so that a new setting elsewhere reruns nothing.
"""

from synvlp.study.checked import LANGUAGE_MODEL, Study
from synvlp.study.checks import NEW_KEY
from synvlp.study.jobs import JOBS, KEYS, module_of
from synvlp.study.problems import StudyError
from synvlp.study.reading import overlaid
from synvlp.study.sections import METHODS, PRETRAINING, given, options, schema

__all__ = [
    "JOBS",
    "KEYS",
    "LANGUAGE_MODEL",
    "METHODS",
    "NEW_KEY",
    "PRETRAINING",
    "Study",
    "StudyError",
    "given",
    "module_of",
    "options",
    "overlaid",
    "schema",
]
