"""`python -m jetfleet.schemas`: the `jetfleet` command, where there is no script of that name on the path."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
