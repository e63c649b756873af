"""A JWK Set (RFC 7517) as the keys in it that may verify a signature."""

from __future__ import annotations

import warnings

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key, RSAKey, import_key
from joserfc.jws import JWSRegistry

from vaultd.jose.refused import JwtRefused

MAX_KEYS = 100
_PUBLIC_TYPES = ("RSA", "EC", "OKP")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 §6.2.2, §6.3.2, §6.4.1
_SIGNING_CURVES = ("Ed25519", "Ed448")
# What verifying costs grows with both, and whoever shows a key chooses them. NIST SP 800-56B §6.2 has exponents up to
# 2^256; the ones in use have 17 bits.
_LONGEST_MODULUS = 4096
_LARGEST_EXPONENT = 2**32
_LONGEST_NUMBER = 700
"""Characters of base64url in which a number of `_LONGEST_MODULUS` bits stands; a longer text is not even read."""


def read_keys(document: object) -> tuple[Key, ...]:
    """The usable public keys of a set; others are passed over (RFC 7517 §5). Raises `ValueError` if it is no set."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWK Set")  # noqa: TRY004 - what arrived is a bad value, not a bug of the caller
    keys = (read_key(entry) for entry in entries[:MAX_KEYS])
    return tuple(key for key in keys if key is not None)


def read_key(entry: object) -> Key | None:
    """The public key that a JWK stands for, or None where it stands for none or for more than that."""
    # A symmetric or a private key that was shown is one that anyone could sign with.
    if not isinstance(entry, dict) or entry.get("kty") not in _PUBLIC_TYPES or not _PRIVATE.isdisjoint(entry):
        return None
    if any(isinstance(entry.get(name), str) and len(entry[name]) > _LONGEST_NUMBER for name in ("n", "e")):
        return None
    try:
        with warnings.catch_warnings():
            # joserfc only warns about an RSA key under 2048 bits (RFC 7518 §3.3 forbids it).
            warnings.simplefilter("error", SecurityWarning)
            key = import_key(entry)
            key.thumbprint()
            costly = isinstance(key, RSAKey) and _is_costly(key)
    except (JoseError, SecurityWarning, ValueError, TypeError, KeyError):
        return None
    return None if costly else key


def _is_costly(key: RSAKey) -> bool:
    numbers = key.public_key.public_numbers()
    return numbers.n.bit_length() > _LONGEST_MODULUS or numbers.e > _LARGEST_EXPONENT


def fits(key: Key, alg: str) -> bool:
    """Whether this key's type, curve, `use`, `key_ops` and `alg` allow it to verify `alg`."""
    try:
        JWSRegistry.algorithms[alg].check_key(key)
        key.check_key_op("verify")
    except JoseError:
        return False
    # joserfc finds out only while verifying that an X25519 key cannot sign (RFC 8037 §3.1).
    return key.key_type != "OKP" or key["crv"] in _SIGNING_CURVES


def named(keys: tuple[Key, ...], kid: str | None, alg: str) -> list[Key]:
    """The keys that a token's `kid` means; without a `kid`, those that fit its `alg`."""
    if kid is None:
        return [key for key in keys if fits(key, alg)]
    return [key for key in keys if key.kid == kid]


def the_one(keys: list[Key], alg: str) -> Key:
    """The single one of the named keys that fits. Raises `JwtRefused`: `unknown_key` or `bad_algorithm`."""
    if not keys:
        raise JwtRefused("unknown_key")
    fitting = [key for key in keys if fits(key, alg)]
    if not fitting:
        raise JwtRefused("bad_algorithm", "the key with this kid is for another algorithm")
    if len(fitting) > 1:
        raise JwtRefused("unknown_key", "several keys fit")
    return fitting[0]


def fingerprint(keys: tuple[Key, ...]) -> frozenset[tuple[str | None, str]]:
    """Equal exactly when two sets hold the same keys under the same names."""
    return frozenset((key.kid, key.thumbprint()) for key in keys)
