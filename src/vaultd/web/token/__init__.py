"""POST /oauth/token (api.md §1).

`parameters` reads the body strictly, `grants` makes requests of it, `route` answers.
"""
