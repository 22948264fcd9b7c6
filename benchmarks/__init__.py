"""Benchmarks: every speed and memory claim of the project comes from here."""
