"""infinity's own server, started from Python: its command line needs an older typer than its other packages allow.

python bench/serving/infinity_script.py PORT MODEL
"""

import sys

import uvicorn
from infinity_emb import EngineArgs
from infinity_emb.infinity_server import create_server

PORT, MODEL = sys.argv[1:]
engine = EngineArgs(
    model_name_or_path=MODEL,
    engine="torch",
    device="cpu",
    dtype="float32",
    served_model_name="model",
    model_warmup=False,  # its warm-up calls what transformers 5 no longer has
)

if __name__ == "__main__":
    app = create_server(engine_args_list=[engine], url_prefix="/v1")
    uvicorn.run(app, port=int(PORT), log_level="warning", http="httptools")
