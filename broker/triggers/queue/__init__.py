"""The queue trigger: messages of a queue on the server become events."""
