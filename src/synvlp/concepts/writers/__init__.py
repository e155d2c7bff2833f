"""Writers: each module here is one, and its name is its kind."""

from pathlib import Path

KINDS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))
