"""What a search's trials say about its hyperparameters: importance, effects, comparisons; all pure functions."""
