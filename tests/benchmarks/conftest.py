"""The benchmarks are a folder at the top of the repository, not an installed package: they are found from there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
