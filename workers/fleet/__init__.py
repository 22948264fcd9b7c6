"""A worker of the fleet: `worker.py` is the wiring, `processor.py` what becomes of a message of tasks."""
