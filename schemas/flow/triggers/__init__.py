"""The params of the trigger types, one type per file, each in one normal form for all spellings."""
