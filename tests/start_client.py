"""Is a program that the start server runs: `SOCKET ARGUMENT...`, with this process's streams."""

import json
import os
import signal
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
    asking.connect(sys.argv[1])
    order = {
        "program": "janitor",
        "arguments": sys.argv[2:],
        "directory": os.getcwd(),  # noqa: PTH109 - importing pathlib takes as long as the rest
        "environment": dict(os.environ),
        "umask": 0o022,
        "limits": [],
        "is_adopted": False,
    }
    socket.send_fds(asking, [json.dumps(order).encode()], [0, 1, 2])
    code = int(asking.recv(100))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
