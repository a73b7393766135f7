"""console.py STEPS PROGRAM ARGUMENT...: runs a program in a terminal, types, prints what the terminal showed, and exits as the program.

STEPS is JSON, a list of pairs: what the terminal must show, and what is then typed. Wine shows a console of Windows in the terminal.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

CTRL_C = "\x03"
SECONDS = 120

# What moves the cursor by a cell is a space, and every other command leaves the text as it is.
CELL, COMMAND = re.compile(r"\x1b\[1?C"), re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


def text(shown):
    return COMMAND.sub("", CELL.sub(" ", shown.decode(errors="replace"))).replace("\r", "")


def main():
    steps = json.loads(sys.argv[1])
    process, terminal = pty.fork()
    if process == 0:
        # Wide, so that no question is wrapped.
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 50, 250, 0, 0))
        os.execvp(sys.argv[2], sys.argv[2:])
    shown, before = b"", 0
    deadline = time.monotonic() + SECONDS
    while True:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            print(text(shown))
            os.kill(process, signal.SIGKILL)
            sys.exit(f"after {SECONDS} s the program still runs")
        try:
            read = os.read(terminal, 4096)
        except OSError:
            break
        if not read:
            break
        shown += read
        if steps and steps[0][0] in text(shown)[before:]:
            before = len(text(shown))
            keys = steps.pop(0)[1]
            # Wine's console takes the terminal's keys, and its echo away, at the program's first read only. Nothing reads ctrl-c.
            while keys != CTRL_C and termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline:
                time.sleep(0.05)
            os.write(terminal, keys.encode())
    print(text(shown))
    if steps:
        sys.exit(f"never shown: {steps[0][0]}")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


main()
