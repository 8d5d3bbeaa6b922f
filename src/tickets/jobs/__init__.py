"""Work outside requests: the queue, its worker, a schedule, and one file a kind of job."""
