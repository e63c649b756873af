"""Providers: the OAuth 2 servers at which users have accounts, and one generic client that speaks to all of them.

What one provider does differently is a value in its table, from the catalogue or from the operator's own file.
"""
