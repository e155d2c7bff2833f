"""What the workflow calls: to read its config, at the start of a run, and at its end."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from synvlp.study import Study, StudyError
from synvlp.versions import record


def open_study(config: Mapping[str, Any]) -> Study:
    """The checked config. Raises Snakemake's WorkflowError for a wrong one, or if its versions could not be kept."""
    from snakemake.exceptions import WorkflowError

    try:
        study = Study(config)
        if study.parts.versions.record:
            record.check()
    except (StudyError, record.Refused) as error:
        raise WorkflowError(str(error)) from None
    return study


def start(study: Study) -> None:
    """Remember what the code of each job is made of, so that `synvlp why` can tell later what changed."""
    record.remember_code(study)


def end(study: Study, overlays: Sequence[str]) -> None:
    """Record what is finished, whether or not the run succeeded. Never fails: the results are there in any case."""
    if not study.parts.versions.record:
        print("versions: nothing is recorded (versions.record: false)", file=sys.stderr)
        return
    # In a process of its own, which builds the DAG anew from the files as they are now.
    command = [sys.executable, "-m", "synvlp", "record", *overlays]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [done.stdout.strip(), done.stderr.strip()[-2000:] if done.returncode else ""]
    print("\n".join(filter(None, said)), file=sys.stderr)
