"""Worker: the threads of one worker process, started and stopped together."""
