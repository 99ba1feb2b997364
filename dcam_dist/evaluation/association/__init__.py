"""What the clusters go with: description, tests, adjusted models and survival, as pure functions and as ``associate``.

``groups`` needs NumPy and SciPy alone; models and survival need the extra ``association``.
"""
