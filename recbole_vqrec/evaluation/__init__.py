"""Trained model -> ranks of the test targets -> metrics."""
