"""Sessions: a person signed in at vaultd's own pages. The browser holds an id, everything else is kept server-side.

`signin` is the recipe, `issuer` what is asked of the `[login]` issuer, `flows` what is remembered meanwhile, and
`id_token` and `logout_token` say which of the issuer's tokens are believed. `store` keeps the sessions.
"""
