"""How good answers are: a file for each kind of task, from ranked lists to pairs of sentences."""
