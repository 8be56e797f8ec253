"""The web servers of `make bench` that have two processes of a program behind them.

All do the same: the body of a POST comes back in capitals. Each is set up as those who use it do who
care for its speed: two processes of the program, one of the web server, sockets of Unix between
them, no access log.
"""

import getpass
import grp
import os
import pwd
import shutil

from http_servers import nginx_conf
from servers import PEERS, Named, python

PROCESSES = 2
WSGI = PEERS / "upper_wsgi.py"


class Behind(Named):
    """nginx with a program server behind it, which listens at a socket in the folder."""

    needs_too = None  # another program that has to be installed

    def missing(self):
        for name in ("nginx", self.needs_too):
            if not shutil.which(name):
                return f"{name} is not installed"
        return None

    def address(self):
        return super().address() if (self.folder / "socket").exists() else None

    def command(self, folder):
        (folder / "nginx.conf").write_text(nginx_conf(folder, self.port, self.location(folder)))
        nginx = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
        return [*python("both.py"), *self.program(folder), "--", *nginx]


class NginxUwsgi(Behind):
    needs_too = "uwsgi"

    def location(self, folder):
        names = ("REQUEST_METHOD", "CONTENT_LENGTH", "CONTENT_TYPE", "REQUEST_URI", "PATH_INFO",
                 "QUERY_STRING", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT")  # fmt: skip
        sent = {"PATH_INFO": "document_uri"}
        given = "".join(f" uwsgi_param {name} ${sent.get(name, name.lower())};" for name in names)
        return f"uwsgi_pass unix:{folder}/socket;{given}"

    def program(self, folder):
        return ["uwsgi", "--socket", str(folder / "socket"), "--listen", "1024", *UWSGI]


UWSGI = ["--plugin", "python3", "--wsgi-file", str(WSGI), "--master", "--processes", str(PROCESSES),
         "--disable-logging", "--die-on-term", "--worker-reload-mercy", "1"]  # fmt: skip


class Uwsgi(Named):
    """Its own HTTP router in front, which keeps connections."""

    needs = "uwsgi"

    def front(self):
        return ["--plugin", "http", "--http", f"127.0.0.1:{self.port}", "--http-keepalive=60"]

    def command(self, folder):
        return ["uwsgi", *self.front(), "--listen", "1024", *UWSGI]


class UwsgiSocket(Uwsgi):
    """
    Its two processes take connections themselves, one request on each. (With --http11-socket they
    would keep them, and answer two clients for ever while the others wait.) They do not say that
    they end a connection, so the client has to.
    """

    asker = [*Uwsgi.asker, "--new-connection"]

    def front(self):
        return ["--http-socket", f"127.0.0.1:{self.port}"]


class Gunicorn(Named):
    """Its workers of the kind sync answer one request on each connection."""

    needs = "gunicorn"

    def command(self, folder):
        return ["gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", str(PROCESSES),
                "--worker-class", "sync", "--backlog", "1024", "--log-level", "error", "--chdir",
                str(PEERS), f"{WSGI.stem}:application"]  # fmt: skip


class NginxPhp(Behind):
    needs_too = next((name for name in ("php-fpm8.2", "php-fpm8.3", "php-fpm8.4")
                      if shutil.which(name)), "php-fpm")  # fmt: skip

    def location(self, folder):
        names = ("REQUEST_METHOD", "CONTENT_LENGTH", "CONTENT_TYPE", "REQUEST_URI", "QUERY_STRING",
                 "SERVER_PROTOCOL")  # fmt: skip
        given = "".join(f" fastcgi_param {name} ${name.lower()};" for name in names)
        return (f"fastcgi_pass unix:{folder}/socket;{given}"
                f" fastcgi_param SCRIPT_FILENAME {PEERS}/upper.php;")

    def program(self, folder):
        user = ""
        if os.geteuid() == 0:
            own = grp.getgrgid(pwd.getpwuid(0).pw_gid).gr_name
            user = f"user = {getpass.getuser()}\ngroup = {own}\n"
        (folder / "php-fpm.conf").write_text(
            f"[global]\nerror_log = /dev/null\ndaemonize = no\n[www]\n{user}"
            f"listen = {folder}/socket\nlisten.backlog = 1024\nlisten.mode = 0666\n"
            f"pm = static\npm.max_children = {PROCESSES}\n"
        )
        root = ["--allow-to-run-as-root"] if os.geteuid() == 0 else []
        return [self.needs_too, "--nodaemonize", *root, "--fpm-config", str(folder / "php-fpm.conf")]


def peers():
    """nginx with uwsgi first: the others are compared with it."""
    return [NginxUwsgi("nginx + uwsgi"), Uwsgi("uwsgi"), UwsgiSocket("uwsgi http-socket"),
            Gunicorn("gunicorn"), NginxPhp("nginx + php-fpm")]  # fmt: skip
