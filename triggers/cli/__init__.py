"""`jetfleet trigger …`: serve triggers, look at them, decide about them, fire them.

trigger_command   the group: list, show, pause and the like, next
serve_command     the trigger process
fire_command      firing by hand
asking            parameters from texts, and from a person
"""
