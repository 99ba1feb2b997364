"""Association of clusters with other variables: description, tests, models and survival, and their tables."""
