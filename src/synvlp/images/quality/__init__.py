"""How good and how private synthetic images are: feature spaces, fidelity, diversity, agreement, memorization."""
