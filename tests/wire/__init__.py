"""Black-box tests over real loopback HTTP: nothing is patched, everything answers as in service."""
