"""Drives both servers in turns: measure.py LUNACAST RAW ROUNDS SECONDS POSTS. See ./run."""
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

LUNACAST, RAW = sys.argv[1:3]
ROUNDS, SECONDS, POSTS = map(int, sys.argv[3:6])
CONNECTIONS, LOGINS, HASH = 32, 32, "14"
HERE = os.path.dirname(os.path.abspath(__file__))
ACCOUNT = {"username": "ada", "password": "a good password"}
two_cores = os.cpu_count() >= 2
on_server = ["taskset", "-c", "0"] if two_cores else []


class Connection:
    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, method, path, body=None, token=None, more=""):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(data)}\r\n{more}"
        if body is not None:
            head += "Content-Type: application/json\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        self.writer.write(head.encode() + b"\r\n" + data)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        lines = answer.decode("latin-1").lower().split("\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
        return int(lines[0].split()[1]), await self.reader.readexactly(length)

    def close(self):
        if self.writer:
            self.writer.close()


def must(result, *wanted):
    if result[0] not in wanted:
        sys.exit(f"answered {result[0]}: {result[1][:500]}")
    return json.loads(result[1])


class Server:
    def __init__(self, name, folder):
        self.name, self.folder, self.process = name, folder, None
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]

    def start(self):
        command, env = self.command()
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.process = subprocess.Popen(on_server + command, env={**os.environ, **env},
                                        stdout=self.log, stderr=self.log, cwd=os.getcwd())
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
            if self.process.poll() is not None:
                break
        with open(self.log.name) as log:
            sys.exit(f"{self.name} does not start: {log.read()[-1000:]}")

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self):
        """Nanoseconds of all threads, also of those that have ended."""
        return time.clock_gettime_ns((~self.process.pid << 3) | 2)  # clock_getcpuclockid(3)


class Lunacast(Server):
    def command(self):
        app = os.path.join(self.folder, "app")
        os.makedirs(app)
        return [LUNACAST, "run", app, "--listen", f"127.0.0.1:{self.port}", "--workers", "1",
                "--data", os.path.join(self.folder, "data"), "--set", "log.level=warn",
                "--set", "watch=false", "--set", "store.durability=full", "--set", f"password.ln={HASH}"], {}


class FastApi(Server):
    def command(self):
        return [sys.executable, "-m", "uvicorn", "peer:app", "--app-dir", HERE, "--port", str(self.port),
                "--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "300"], \
            {"DATABASE": os.path.join(self.folder, "sql.db"), "PASSWORD_LN": HASH}


async def prepare(server):
    c = Connection(server.port)
    must(await c.ask("POST", "/auth/register", ACCOUNT), 201)
    server.token = must(await c.ask("POST", "/auth/login", ACCOUNT), 200)["access_token"]
    for i in range(POSTS):
        must(await c.ask("POST", "/posts", {"title": f"post {i}", "body": "words " * 40}, server.token), 201)
    c.close()


async def read(c, server, state):
    state["n"] = state.get("n", 0) % POSTS + 1
    must(await c.ask("GET", f"/posts/{state['n']}", None, server.token, "Cache-Control: no-cache\r\n"), 200)


async def refresh(c, server, state):
    if "token" not in state:
        state["token"] = must(await c.ask("POST", "/auth/login", ACCOUNT), 200)["refresh_token"]
        return
    state["token"] = must(await c.ask("POST", "/auth/refresh", {"refresh_token": state["token"]}),
                          200)["refresh_token"]


async def refreshes(server):
    """Requests per CPU second. Each connection uses the token that its last answer brought."""
    connections = [(Connection(server.port), {}) for _ in range(CONNECTIONS)]
    for c, state in connections:  # the logins are not measured
        await refresh(c, server, state)
    count = 0

    async def loop(c, state, until):
        nonlocal count
        while time.monotonic() < until:
            await refresh(c, server, state)
            count += 1

    before = server.cpu()
    until = time.monotonic() + SECONDS
    await asyncio.gather(*(loop(c, state, until) for c, state in connections))
    used = server.cpu() - before
    for c, _ in connections:
        c.close()
    return count / (used / 1e9)


REQUESTS = {
    "read": f'''n = 0
function request()
  n = n % {POSTS} + 1
  return wrk.format("GET", "/posts/" .. n, {{ Authorization = TOKEN, ["Cache-Control"] = "no-cache" }})
end''',
    "page": '''function request()
  return wrk.format("GET", "/posts?limit=20", { Authorization = TOKEN })
end''',
    "write": '''local body = '{"title":"a post","body":"' .. ("words "):rep(40) .. '"}'
function request()
  return wrk.format("POST", "/posts", { Authorization = TOKEN, ["Content-Type"] = "application/json" }, body)
end''',
}


def wrk(server, name):
    """Requests per CPU second of a server that always has something to do."""
    script = os.path.join(server.folder, name + ".lua")
    with open(script, "w") as file:
        file.write(f'TOKEN = "Bearer {server.token}"\n{REQUESTS[name]}\n')
    before = server.cpu()
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "20s", "-s", script,
                           f"http://127.0.0.1:{server.port}"], capture_output=True, text=True)
    used = server.cpu() - before
    if done.returncode != 0 or "Non-2xx" in done.stdout:
        sys.exit(f"{server.name}, {name}: {done.stdout}{done.stderr}")
    count = next(int(line.split()[0]) for line in done.stdout.splitlines() if "requests in" in line)
    return count / (used / 1e9)


async def p99_beside_logins(server):
    until = time.monotonic() + max(SECONDS, 3)
    times = []

    async def log_in():
        c = Connection(server.port)
        while time.monotonic() < until:
            must(await c.ask("POST", "/auth/login", ACCOUNT), 200)
        c.close()

    async def probe():
        c = Connection(server.port)
        while time.monotonic() < until:
            began = time.monotonic()
            await read(c, server, {})
            times.append((time.monotonic() - began) * 1000)
            await asyncio.sleep(0.002)
        c.close()

    await asyncio.gather(probe(), *(log_in() for _ in range(LOGINS)))
    times.sort()
    return times[int(len(times) * 0.99)]


def note(metric, server, value):
    with open(RAW, "a") as raw:
        raw.write(f"{metric} {server.name} {value}\n")


async def main():
    folder = tempfile.mkdtemp()
    servers = []
    try:
        for kind, name in (Lunacast, "lunacast"), (FastApi, "FastAPI"):
            own = os.path.join(folder, name)
            os.makedirs(own)
            server = kind(name, own)
            servers.append(server)
            server.start()
            await prepare(server)
        for _ in range(ROUNDS):
            for server in servers:
                for name in REQUESTS:
                    note(name, server, wrk(server, name))
                note("refresh", server, await refreshes(server))
                note("beside", server, await p99_beside_logins(server))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
if two_cores:
    os.sched_setaffinity(0, {1})
asyncio.run(main())
