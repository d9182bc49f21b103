"""Results of runs -> tables, tests of significance, plots and reports."""
