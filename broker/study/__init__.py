"""Studying runs: what a journal tells to whoever reads it afterwards. Nothing here does I/O or changes a run.

steps          a journal, record by record: what each changed, and what the engine asked for
verification   whether the parts of a journal are what was written: order, gaps, overlaps, hash chain, summary
difference     two runs side by side: where they part
explanation    a run in plain sentences: what happened, why, and what would move it now
phases         where the time of each activation went
anatomy        a run as a tree
moving         what would let a waiting run go on
"""
