"""The smallest configuration by which every command runs, each with the database that its environment names."""

LEAST_FILE = """
public_url = "https://vault.example.com"
database_url = "env:SERVICE_URL"
migration_database_url = "env:SERVICE_URL"
[keys]
path = "keyring.json"
"""
