"""The embedded server: a nats-server with JetStream that lives and dies with the process that started it.

    settings    what can be said            binary     which nats-server is executed
    config      the same as its file        folder     where its data lies: made, locked, measured
    process     one nats-server process     guard      ends it when we are gone, however we went
    monitor     what it says about itself   log_lines  its log in ours
    embedded    all of it: EmbeddedServer   errors     why there is none

Nothing here speaks NATS: that is the client's.
"""

from .embedded import EmbeddedServer
from .errors import ServerError
from .settings import Cluster, ServerSettings

__all__ = ["Cluster", "EmbeddedServer", "ServerError", "ServerSettings"]
