"""What each of the CPU-bound servers does for a request: some milliseconds of plain Python."""


def work(message, turns):
    number = 1
    for _ in range(turns):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF
    # The result is part of the reply, in a way that hostler-load can check.
    return message.upper() if number >= 0 else b""
