"""Measures of how far a decoded signal is from its original, on NumPy arrays and without torch.

Every measure takes `(reference, degraded)`, two mono signals of shape [T] at the same rate, full scale 1.0, aligned
sample by sample; a caller with several channels measures each. `waveform` and `spectral` need NumPy alone;
`perceptual` wraps packages of the extra `hscodec[bench]`.
"""
