"""What the vault is compared with; each is a process of its own."""
