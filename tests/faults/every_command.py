"""Each command that works on a run, one after the other, for the test of the network."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time

OPTIONS = ["--g-width", "8", "--d-width", "8", "--batch-size", "32", "--device", "cpu"]
EVALUATE = ["--evaluate-every", "64", "--evaluate-num", "40", "--tensorboard"]


def sagan(*arguments, **how):
    return subprocess.Popen([sys.executable, "-m", "sagan", *arguments], **how)


def run(*arguments):
    code = sagan(*arguments, stdout=subprocess.DEVNULL).wait(timeout=400)
    assert code == 0, arguments
    print(arguments[0], flush=True)


def explore():
    server = sagan("explore", "run", "--port", "0", "--no-open", "--device", "cpu",
                   stderr=subprocess.PIPE, text=True)  # fmt: skip
    port = int(re.search(r":(\d+)/", server.stderr.readline())[1])

    def ask(method, path, body=None, kind=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    until = time.monotonic() + 200
    while b'"ready":true' not in ask("GET", "/api/run")[1]:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert ask("GET", "/")[0] == 200
    status, content = ask(
        "POST", "/api/image", '{"step": 2, "seed": 1, "label": 0}', "application/json"
    )
    assert status == 200, content
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 143
    print("explore", flush=True)


if __name__ == "__main__":
    os.environ["BROWSER"] = "true"
    processes = sys.argv[1]
    run("train", "run", "--images", "64", "--devices", processes, *OPTIONS, *EVALUATE)
    run("sample", "run", "--num", "4", "--out", "samples", "--device", "cpu")
    run("evaluate", "run", "--data", "digits", "--metrics", "fd:pixel,cas", "--num", "50",
        "--device", "cpu")  # fmt: skip
    run("explain", "run", "--out", "page", "--num", "1", "--device", "cpu")
    run("export", "run", "--format", "safetensors", "--out", "model.safetensors")
    explore()
