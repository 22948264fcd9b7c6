"""The lines between processes and the server: which there are, and what can be done to them and to the server itself.

Every connection that is opened gets a line of its own. Those of the world (who watches, and who judges) are spared by all faults.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from jetfleet.broker.client import connection as of_connections

from . import clock
