"""Examples: each is one idea, complete, and run by the tests."""
