"""Codecs: how values of each type become bytes in the arena, and views of them again. See docs/payloads.md."""
