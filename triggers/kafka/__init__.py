"""The kafka trigger: records of topics become events."""
