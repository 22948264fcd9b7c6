"""The filesystem trigger: changes of files become events."""
