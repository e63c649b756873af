"""The counter where tokens are let out. Nothing leaves the vault but through here.

`queue` decides who waits together, `decide` is pure, `statement` is the one transaction: lock the connection rows,
decide, append the events, commit.
"""
