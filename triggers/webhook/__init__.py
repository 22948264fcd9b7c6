"""The webhook trigger: HTTP requests become events.

    listener ─▶ routes ─▶ endpoint: who calls? what is it? ─▶ source ─▶ event on disk ─▶ 202 {"run": id}
                              ╲ no ─▶ 4xx

docs/triggers.md describes it from outside.
"""
