"""Teachers to students: each method of distillation is one file or folder here and one line in the table."""

METHODS: dict[str, str] = {
    "static": "retr.distill.static.method:METHOD",
    "margin-mse": "retr.distill.students.methods:MARGIN_MSE",
    "listwise-kl": "retr.distill.students.methods:LISTWISE_KL",
    "embedding-mse": "retr.distill.students.methods:EMBEDDING_MSE",
    "soft-bce": "retr.distill.students.pairs:SOFT_BCE",
    "cosine-mse": "retr.distill.students.pairs:COSINE_MSE",
    "logit-mse": "retr.distill.students.pairs:LOGIT_MSE",
    "mixed-mse": "retr.distill.students.pairs:MIXED_MSE",
    "dse": "retr.distill.dse.method:METHOD",
    "trans-encoder": "retr.distill.trans.method:METHOD",
}
"""A method's name, as a recipe says it, to its `retr.distill.recipe.Method`."""
