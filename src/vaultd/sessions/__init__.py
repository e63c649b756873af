"""Sessions: a person signed in at vaultd's own pages. The browser holds an id, everything else is kept server-side."""
