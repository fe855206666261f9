"""Classifiers over texts end to end: each text's first state goes on to the model's own classifier."""

from typing import Any

import torch

from retr.encoders.on_torch.packing import Packing


def feed_first_states(classifier: Any) -> None:
    """From now on, of a row of texts the classifier sees [texts, 1, dim]: what each text begins with.

    That is what BERT's family classifies by. A model that looks at other tokens is found out by the trial of
    `probe.first_position`, like one whose body is called in another way. Batches are not affected.
    """
    body = classifier.base_model
    if body is not classifier:
        body.register_forward_hook(_keep_first, with_kwargs=True)


def _keep_first(body: Any, _: tuple[Any, ...], given: dict[str, Any], result: Any) -> Any:
    packing: Packing | None = given.get("retr_packing")
    if packing is None:
        return result
    starts = packing.offsets[:-1].long()
    result["last_hidden_state"] = result.last_hidden_state[0].index_select(0, starts)[:, None]
    pooler = getattr(body, "pooler", None)
    if isinstance(pooler, torch.nn.Module):
        result["pooler_output"] = pooler(result.last_hidden_state)
    return result
