"""The server of the vector suite: PyPI's PostgreSQL with the real pgvector, and rag built for it.

Two databases of one server hold the same tables, one with each extension. rag is compiled with the
flags of the server's own extensions plus what they add for this processor: neither side is
compiled with -march=native; both choose their distance kernels when they run.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

import psycopg

TOP = pathlib.Path(__file__).resolve().parents[2]
FLAGS = "-O2 -g -fno-strict-aliasing -fwrapv -fexcess-precision=standard"
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{dir}'
extension_control_path = '{dir}/stage{share}:$system'
dynamic_library_path = '{dir}/stage{lib}:$libdir'
shared_buffers = '{buffers}'
max_wal_size = '16GB'
checkpoint_timeout = '1h'
jit = off
autovacuum = off
"""


class Server:
    """Use as a context: started on entry, stopped and removed on exit."""

    def __init__(self, buffers="2GB"):
        self.buffers = buffers
        self.home = subprocess.run([TOP / "test/tools/fetch-pgvector"], check=True, text=True,
                                   stdout=subprocess.PIPE).stdout.strip()
        self.env = dict(os.environ, LD_LIBRARY_PATH=f"{self.home}/lib")
        for name in [n for n in self.env if n.startswith("PG")]:
            del self.env[name]

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="rag-vector-")
        os.chmod(self.dir, 0o755)
        try:
            self.build()
            self.init()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if os.path.exists(f"{self.dir}/data/postmaster.pid"):
            self.program("pg_ctl", "-D", f"{self.dir}/data", "-m", "immediate", "-w", "stop", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def program(self, name, *arguments, check=True):
        """Run a program of the server as an ordinary user: it refuses root."""
        command = [f"{self.home}/bin/{name}", *arguments]
        if os.getuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        subprocess.run(command, env=self.env, check=check, stdout=subprocess.DEVNULL)

    def build(self):
        """Build a copy of the checkout, whose own objects are for another server."""
        source = f"{self.dir}/source"
        shutil.copytree(TOP, source, ignore=shutil.ignore_patterns(".git", "build", "results", "*.o", "*.so", "*.bc"))
        make = ["make", "-s", "-C", source, f"-j{os.cpu_count()}", f"PG_CONFIG={self.home}/bin/pg_config",
                f"CFLAGS={FLAGS}"]
        subprocess.run([*make, "all"], env=self.env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*make, "install", f"DESTDIR={self.dir}/stage"], env=self.env, check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run(["chmod", "-R", "go+rX", f"{self.dir}/stage"], check=True)

    def init(self):
        os.mkdir(f"{self.dir}/data", 0o700)
        if os.getuid() == 0:
            shutil.chown(f"{self.dir}/data", "nobody", "nogroup")
            shutil.chown(self.dir, "nobody", "nogroup")
        self.program("initdb", "-D", f"{self.dir}/data", "-U", "postgres", "-A", "trust", "--no-sync")
        with open(f"{self.dir}/data/postgresql.conf", "a") as conf:
            conf.write(SETTINGS.format(dir=self.dir, share=f"{self.home}/share", lib=f"{self.home}/lib",
                                       buffers=self.buffers))

    def start(self, *options):
        self.program("pg_ctl", "-D", f"{self.dir}/data", "-l", f"{self.dir}/log", "-w", "-o", " ".join(options),
                     "start")

    def restart(self, *options):
        self.program("pg_ctl", "-D", f"{self.dir}/data", "-w", "stop")
        self.start(*options)

    def connstr(self, database):
        return f"host={self.dir} user=postgres dbname={database}"

    def connect(self, database):
        return psycopg.connect(self.connstr(database), autocommit=True)
