"""Processes as members of a fleet: who is there, who owns which partitions, and which arenas have workers."""
