"""The kinds of generators that train in one job: a module each, found by its name.

Such a module is the job `train-KIND`, whose outputs are `models.generator.Trained`. Whoever draws with what it writes
is found by the kind's name, too (`synvlp.models.samplers`).
"""

import pkgutil


def names() -> list[str]:
    """The kinds that there are, sorted."""
    return sorted(part.name for part in pkgutil.iter_modules(__path__))
