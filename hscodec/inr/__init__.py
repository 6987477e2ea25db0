"""Target networks: implicit neural representations that map time to amplitude, and the grids they are sampled on."""
