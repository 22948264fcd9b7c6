"""The webhook trigger: HTTP requests become events."""
