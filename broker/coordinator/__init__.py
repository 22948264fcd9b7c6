"""The coordinator: events become runs, records become effects.

coordinator   one process: what it is made of, start and stop
intake        events → RunStarted records; admission, breaker
owner         a partition's life: take over, follow, let go
partition     the fold: record in, effects out, how far they are acknowledged
effects       carrying effects out; outbox: where they leave
reopening     a run that had ended goes on from its journal
timers        near ones in memory, far ones on the server
snapshots     the open runs of a partition, written as they change
"""
