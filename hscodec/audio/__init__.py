"""Audio files (through soundfile) and sample rate conversion (through soxr); no torch."""
