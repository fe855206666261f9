"""What `retr eval` does for each kind of task: a file each, all giving the same kind of result to show."""
