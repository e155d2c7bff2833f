"""`python -m synvlp`: the command line where the package is not installed, as in a container."""

import sys

from synvlp.cli import main

sys.exit(main())
