"""One folder per system; leaves of the house, chosen only by the composition root."""
