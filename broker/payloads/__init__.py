"""The payload plane: values out of and into payloads, wherever their bytes lie. See docs/payloads.md."""
