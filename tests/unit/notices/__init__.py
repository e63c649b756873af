"""Which notices are believed."""
