"""Carrying runs to another place, in one file.

manifest     what a `.jetrun` file has in it, and its names
writing      making one
reading      opening one that may come from anybody
collected    payloads on their way into a file
moored       payloads out of a file, in the object store of the fleet that it is brought to
"""
