"""Run a model in RecBole's style; without arguments, the whole job on the embedded data set.

python run_recbole_vqrec.py
python run_recbole_vqrec.py --model=VQRec --dataset=Scientific --config_files="a.yaml b.yaml" --learning_rate=0.003
"""

from recbole_vqrec.cli.run import run_recbole_style

if __name__ == "__main__":
    run_recbole_style()
