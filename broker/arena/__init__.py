"""The arena: large values in memory-mapped files, shared by the processes of a host. See docs/payloads.md."""
