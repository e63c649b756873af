"""Clients: who the agent backend is. The configured ones, how a request says which one it comes from, and the proof."""
