"""Data sets x models x seeds -> a folder a run, tuned and run in processes of their own -> report."""
