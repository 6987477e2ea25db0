"""Measures of how far a decoded signal is from its original, on NumPy arrays and without torch.

Every measure takes `(reference, degraded)`, two mono signals of shape [T] at the same rate, full scale 1.0, aligned
sample by sample. `waveform` and `spectral` need NumPy alone; `perceptual` wraps packages of the extra `hscodec[bench]`,
of which only CDPAM loads torch, when it is called. `comparison` has all measures by name and takes sounds of several
channels, each compared by itself.
"""
