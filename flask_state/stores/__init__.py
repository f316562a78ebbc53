"""Where bytes are kept: contracts in `base`, shared decisions in `rules`, a folder per engine."""
