"""The web servers of `make bench`, which answer every request with the same 64 bytes.

One process or thread does the work, nothing is logged, and connections are kept for as many
requests as there are.
"""

import getpass

from servers import Hostlerd, Named

BODY = "0123456789abcdef" * 4
ECHO = "--hostler.workers 1 --protocol http --handler echo"


def nginx_conf(folder, port, location):
    """One worker and one place, in which that is said."""
    kept = "".join(f"  {kind}_temp_path {folder}/{kind};\n"
                   for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    return (
        f"daemon off;\nuser {getpass.getuser()};\npid {folder}/nginx.pid;\n"
        "error_log stderr error;\nworker_processes 1;\n"
        "events { worker_connections 20000; }\n"
        f"http {{\n{kept}  access_log off;\n  keepalive_requests 1000000000;\n"
        f"  server {{ listen 127.0.0.1:{port} backlog=4096;\n"
        f"    location / {{ {location} }} }}\n}}\n"
    )


class Nginx(Named):
    needs = "nginx"

    def command(self, folder):
        location = f'default_type text/plain; return 200 "{BODY}";'
        (folder / "nginx.conf").write_text(nginx_conf(folder, self.port, location))
        return ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


class Haproxy(Named):
    needs = "haproxy"

    def command(self, folder):
        (folder / "haproxy.cfg").write_text(
            "global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 60s\n"
            "  timeout connect 5s\n  timeout server 60s\n"
            f"frontend bench\n  bind 127.0.0.1:{self.port} backlog 4096\n  maxconn 20000\n"
            f"  http-request return status 200 content-type text/plain string {BODY}\n"
        )
        return ["haproxy", "-q", "-f", "haproxy.cfg"]


class Lighttpd(Named):
    """A file of 64 bytes: it has no reply of its own."""

    needs = "lighttpd"

    def command(self, folder):
        (folder / "page.txt").write_text(BODY)
        (folder / "lighttpd.conf").write_text(
            f'server.document-root = "{folder}"\nserver.bind = "127.0.0.1"\n'
            f'server.port = {self.port}\nserver.errorlog = "{folder}/error.log"\n'
            "server.max-keep-alive-requests = 65535\nserver.max-connections = 20000\n"
            "server.max-fds = 40000\nserver.listen-backlog = 4096\n"
            'index-file.names = ( "page.txt" )\nmimetype.assign = ( ".txt" => "text/plain" )\n'
        )
        return ["lighttpd", "-D", "-f", "lighttpd.conf"]


def servers(post=False):
    """nginx first: the others are compared with it. A file is nothing to POST to."""
    files = [] if post else [Lighttpd("lighttpd")]
    return [Nginx("nginx"), Hostlerd("hostlerd", ECHO), Haproxy("haproxy"), *files]
