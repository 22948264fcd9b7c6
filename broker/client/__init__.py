"""The client: everything that the other packages need of NATS and JetStream, and the only importer of `nats`.

Connection    kept alive for ever; `send`, `subscribe`, `request`; has `publisher` and `streams`
Publisher     stores messages, many at a time, each once
Batcher       group commit for one subject: entries share a message
Group         group commit for one stream: messages of their own share a write
Pull          a durable consumer's messages, as many as there is room for
Tail          a stream from a sequence on, in order, without holes
Streams       management, and reading without a consumer
"""

from ..credentials import Credentials
from .batcher import WAITED_FOR, Batcher, Receipt
from .connection import Connection, Subscription
from .errors import (
    BrokerError,
    ConnectionClosed,
    Denied,
    Hole,
    NoJetStream,
    NoResponders,
    NotAuthorized,
    NotFound,
    NotTrusted,
    PayloadTooLarge,
    Refused,
    ServerTooOld,
    StreamFull,
    Unknown,
    Unreachable,
    WrongSequence,
)
from .group import Group
from .message import Message
from .opening import without_password
from .publisher import PubAck, Publisher
from .pull import Pull
from .stored import StoredMessage
from .streams import Streams
from .tail import Tail

__all__ = [
    "WAITED_FOR",
    "Batcher",
    "BrokerError",
    "Connection",
    "ConnectionClosed",
    "Credentials",
    "Denied",
    "Group",
    "Hole",
    "Message",
    "NoJetStream",
    "NoResponders",
    "NotAuthorized",
    "NotFound",
    "NotTrusted",
    "PayloadTooLarge",
    "PubAck",
    "Publisher",
    "Pull",
    "Receipt",
    "Refused",
    "ServerTooOld",
    "StoredMessage",
    "StreamFull",
    "Streams",
    "Subscription",
    "Tail",
    "Unknown",
    "Unreachable",
    "WrongSequence",
    "without_password",
]
