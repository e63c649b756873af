"""What `vaultd dev`, `vaultd demo` and the tests run on: real parts in small, on loopback, kept in memory.

`postgres` starts a PostgreSQL of one's own, `issuer` signs people in and mints session tokens, `provider`
is an OAuth 2 provider with the small APIs of `apis`, `agent` is an agent backend that uses vaultd, `browser`
stands in for a person's browser, and `servers` puts them on loopback ports. Nothing here is imported in service.
"""
