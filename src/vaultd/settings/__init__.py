"""The settings: one TOML file, read once into the config types that each room owns.

`load` reads the file, puts the two overrides of the environment in place, lays the catalogue beneath the provider
tables, has every room's type check its part, and then looks at what one table says about another. All mistakes of
the file come in one report, one line each: file, key, what is wrong, what to write.
"""

from vaultd.settings.loading import load
from vaultd.settings.model import Settings

__all__ = ["Settings", "load"]
