"""vaultd: a self-hosted vault for the OAuth tokens that agents use on behalf of people."""

__version__ = "0.1.0"
