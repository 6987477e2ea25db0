"""Training: corpus preparation, data, losses, schedule, the loop, and export of model files."""
