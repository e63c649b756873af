"""What the guides in docs/guides show is what happens."""
