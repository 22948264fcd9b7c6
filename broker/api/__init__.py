"""The fleet from outside, in Python.

client        what there is to call
handle        one run: its result, steering it        result     how a run ended
events        on their way out, group-committed        endings    on their way back
definitions   flows in any form, ready to deploy        inspection looking at runs
steering      records from outside                      bulk       one verb for many runs
standing      how a run is, and which verbs make sense  letters    what died, and sending it again
values        what lies elsewhere, fetched              outgoing   what is large, stored before it is sent
triggers      which there are, deciding about them      queue      messages for queue triggers
approvals     what runs wait for people to decide, and answering    approval_calls what a client can do about it
family        a run with the runs of its sub-flows      flows      deciding about flows as a whole
flow_calls    what a client can do with flows           flow_sight looking at them
flow_views    what is seen then                         open_runs  counted, by version
reopening     runs that go on after their end           forking    copies of them that go on from a node
adopting      a journal in hand becomes an open run     fitting    … as one of another version of its flow
study         runs at any record, compared, verified   transfer   runs into files, and out of them
"""

from .approvals import Decided, Pending
from .bulk import Acted, Bulk
from .client import Client
from .collected import CollectedHandle
from .definitions import FlowSource
from .errors import CollectionForgotten, NotEnded, SentLately, UnknownFlow, UnknownRun, UnknownTrigger
from .family import Family, Member
from .flow_views import FlowView, VersionView
from .handle import RunHandle
from .letters import Letter
from .queue import NobodyListens, Queue, QueueFull
from .reopening import Report
from .reopening_errors import JournalGone, NeverRan, NoSuchValue, NotFailed, NothingToRetry, RunOpen, VersionUnfit
from .result import Result
from .standing import Standing
from .triggers import TriggerView

__all__ = [
    "Acted",
    "Bulk",
    "Client",
    "CollectedHandle",
    "CollectionForgotten",
    "Decided",
    "Family",
    "FlowSource",
    "FlowView",
    "JournalGone",
    "Letter",
    "Member",
    "NeverRan",
    "NoSuchValue",
    "NobodyListens",
    "NotEnded",
    "NotFailed",
    "NothingToRetry",
    "Pending",
    "Queue",
    "QueueFull",
    "Report",
    "Result",
    "RunHandle",
    "RunOpen",
    "SentLately",
    "Standing",
    "TriggerView",
    "UnknownFlow",
    "UnknownRun",
    "UnknownTrigger",
    "VersionUnfit",
    "VersionView",
]
