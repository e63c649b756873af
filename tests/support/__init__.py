"""What several kinds of tests stand on."""
