"""Where jobs run if it is not Snakemake's own environment: a container, conda, or a cluster's modules.

Snakemake uses none of it without `--sdm`. What is named here belongs to a machine and not to a study: it comes from
the environment, and no result depends on its name.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synvlp import arrays, dag


def prepare() -> None:
    """Before the workflow is read: become an array task's own job, and let jobs find `synvlp`.

    It is installed beside the Python that runs Snakemake.
    """
    arrays.become_own_job()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def image() -> str:
    """The container image of `--sdm apptainer`: a file, or an address such as docker://…"""
    return os.environ.get("SYNVLP_IMAGE", "envs/synvlp.sif")


def assign(rules: Iterable[Any]) -> None:
    """Give every rule that runs a command the conda environment and the modules that the environment names, if any.

    Snakemake has a directive for all rules at once for containers only. It asks conda about an environment that a
    rule names even without `--sdm`, so none is named where nobody asked for it.
    """
    modules = os.environ.get("SYNVLP_MODULES", "").split()
    conda = os.environ.get("SYNVLP_CONDA")
    for rule in rules:
        if rule.shellcmd:
            dag.give_environment(rule, conda, modules)
