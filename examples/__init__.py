"""Agents that use vaultd."""
