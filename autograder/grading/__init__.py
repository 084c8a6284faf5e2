"""What `autograder.grade` is made of: the verdict files, and the work of one process."""
