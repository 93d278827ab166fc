"""The roles of a rendered chart as an authorizer, and a proxy before an API server that holds a controller to them."""

import http.client
import http.server
import re
import threading
import urllib.parse

from conftest import of_kind

PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?(?:/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?)?$"
)


def request_info(method, target):
    """What the API server makes of a request: (verb, group, resource, namespace, name)."""
    url = urllib.parse.urlsplit(target)
    found = PATH.match(url.path.rstrip("/"))
    if not found or not found["resource"]:
        return None
    resource = found["resource"] + (f"/{found['sub']}" if found["sub"] else "")
    watch = urllib.parse.parse_qs(url.query).get("watch") in (["true"], ["1"])
    verb = {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method)
    if method == "POST" and found["sub"]:
        verb = "create"
    if method == "GET":
        verb = "get" if found["name"] else "watch" if watch else "list"
    if method == "DELETE":
        verb = "delete" if found["name"] else "deletecollection"
    return verb, found["group"] or "", resource, found["namespace"] or "", found["name"] or ""


class Roles:
    """Rules that a chart gives to its ServiceAccount: (namespace or "" for all, rule)."""

    def __init__(self, objects, namespace="failback-system", account="failback"):
        subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
        self.rules = []
        for kind, scope in (("ClusterRole", ""), ("Role", None)):
            roles = {(o["metadata"].get("namespace"), o["metadata"]["name"]): o["rules"] for o in of_kind(objects, kind)}
            for binding in of_kind(objects, f"{kind}Binding"):
                if subject not in binding["subjects"]:
                    continue
                where = binding["metadata"].get("namespace")
                for rule in roles[(where, binding["roleRef"]["name"])]:
                    self.rules.append((where or scope, rule))

    def permissions(self):
        """Each single right: (namespace, verb, group, resource)."""
        return {
            (where, verb, group, resource)
            for where, rule in self.rules
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }

    def used_by(self, info):
        """The rights that allow a request."""
        verb, group, resource, namespace, name = info
        return {
            (where, verb, group, resource)
            for where, rule in self.rules
            if where in ("", namespace) and verb in rule["verbs"] and group in rule["apiGroups"]
            and resource in rule["resources"] and name in rule.get("resourceNames", [name])
        }


class Proxy:
    """Passes on what the roles allow, answers 403 to the rest, and remembers both."""

    def __init__(self, upstream, roles):
        self.roles, self.used, self.denied = roles, set(), []
        host = urllib.parse.urlsplit(upstream).netloc
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                info = request_info(self.command, self.path)
                used = proxy.roles.used_by(info) if info else {()}
                if not used:
                    proxy.denied.append(info)
                    return self.refuse(info)
                proxy.used |= used
                self.forward(body)

            def refuse(self, info):
                text = (
                    '{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,'
                    f'"message":"not granted: {info}"}}'
                ).encode()
                self.send_response(403)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def forward(self, body):
                connection = http.client.HTTPConnection(host, timeout=300)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    while chunk := answer.read1(65536):
                        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                        self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")
                except (OSError, http.client.HTTPException):
                    self.close_connection = True  # whoever asked, or whoever answered, has gone
                finally:
                    connection.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
