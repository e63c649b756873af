"""Other people's programs hold the vault against its own OpenAPI document."""
