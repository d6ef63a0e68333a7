"""Models and cases to test the rest of the package with."""
