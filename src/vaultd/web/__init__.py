"""The HTTP edge: parses, authenticates, calls one use case, renders. Nothing is decided here."""
