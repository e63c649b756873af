"""Ends of grants."""
