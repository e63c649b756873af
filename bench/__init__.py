"""`make bench`: what an exchange costs, beside peers measured in the same run (docs/benchmarks.md)."""
