"""hscodec: audio stored as the weights of implicit neural representations."""

__version__ = "0.1.0"
