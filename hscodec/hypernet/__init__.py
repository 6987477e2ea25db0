"""The parts of the hypernetwork: precision latent, scale network, refinement, and the blocks they are made of."""
