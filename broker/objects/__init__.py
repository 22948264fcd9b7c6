"""The object store: values for other hosts, and for good. See docs/payloads.md."""
