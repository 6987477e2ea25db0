"""Measurements of hscodec beside other codecs; see `benchmarks/README.md`. Not part of the installed package."""
