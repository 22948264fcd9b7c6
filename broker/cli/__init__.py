"""What a person types at a fleet: deploying, sending events, looking at runs, dead letters, the doctor.

Each command is a thin skin around `jetfleet.broker.api`: it reads what was typed, calls, and prints.
"""
