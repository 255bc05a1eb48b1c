"""Newer recipes without a newer medfetch: from a signed index, a folder, or a git repository at a commit.

    an address → ``obtaining`` (the network) → ``index`` (signature, then content) → ``installing`` (check, switch)

What they become is a folder in the user's data directory, which goes before the built-in recipes and behind a person's
own (``recipe_folders``).
"""
