"""Where bytes are kept: the contracts in `base`, what engines share in `rules`, a folder per engine."""
