"""Subjects: who the user is. Session tokens of configured issuers are verified here and nowhere else.

A user is the pair of issuer and `sub`, never an e-mail address; the table of subjects keeps that pair sealed and
finds it again by a keyed hash.
"""
