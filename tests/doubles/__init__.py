"""Providers played from what their documentation shows: see `provider`."""
