"""What runs tasks: one file for each executor, all with the interface of `jobs.task.Executor`."""
