"""Keys: root key → keyring of wrapped keys → one data key per connection generation, pending grant and subject.

Everything secret is stored in the blob of `envelope.py`, bound to the place it belongs to.
"""
