"""All targets, by name. Each family stands in a file of its own.

wire        what travels between the processes of a fleet         files       files that outlive a process
engine      records that mean nothing, states of snapshots        web         requests to webhooks
values      payloads, refs, codecs                                questions   questions to the read model
texts       flows, selectors, filters, schedules, arguments
"""

from __future__ import annotations

from collections.abc import Mapping

from . import engine, files, questions, texts, values, web, wire
from .target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target for family in (wire, engine, values, texts, files, web, questions) for target in family.TARGETS
}
