"""A program that computes for about 5 ms per line. threads.py does the same inside one process."""

import sys


def work(message):
    total = 0
    for number in range(ROUNDS):
        total += number * number % 7
    return message.upper() if total else b""


ROUNDS = 150_000


def main():
    for message in sys.stdin.buffer:
        sys.stdout.buffer.write(work(message))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
