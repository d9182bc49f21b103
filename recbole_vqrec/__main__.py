"""`python -m recbole_vqrec` is the console command."""

from recbole_vqrec.cli import main

if __name__ == "__main__":
    main()
