"""Connections: a user's grant at a provider, its tokens always sealed, and the pure rules of its states."""
