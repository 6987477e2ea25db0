"""From symbols to bytes and back, exact on every machine: quantiser bytes, order, scale classes, payload; no torch."""
