"""Triggers: what turns happenings outside into events. The contract of all adapters, what looks after them, and the adapters that every
coordinator serves.

docs/triggers.md describes them from outside.
"""
