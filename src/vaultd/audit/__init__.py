"""The audit log: a closed set of typed events, written in lanes, each a keyed chain, before anything leaves.

A lane belongs to one process and one month and runs one transaction at a time, so its numbers are dense and its
order is the order of commit. `mac` = HMAC-SHA-256(chain key, previous mac ‖ event bytes); the first one chains
from the lane's own id.
"""
