"""hscodec: audio stored as the weights of implicit neural representations.

Encode and decode with `hscodec.codec`, load models with `hscodec.registry`. Importing this package loads nothing else.
"""

__version__ = "0.1.0"
