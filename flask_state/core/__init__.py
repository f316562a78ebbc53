"""What every layer stands on: time, randomness, bytes, keys, settings. Nothing here knows Flask."""
