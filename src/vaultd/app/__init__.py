"""The composition root: the only place where concrete parts are chosen and wired.

Nothing is imported here, so that a command that wires one part need not load the service; `factory` makes that.
"""
