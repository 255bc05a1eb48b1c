"""Long trials of the whole, against the sandbox: many kills, and many faults for a long time. Not part of the tests."""
