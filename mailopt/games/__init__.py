"""What the world is: games, transition kernels, correlated policies, scenarios, files."""
