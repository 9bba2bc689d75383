"""The shop on a real server: `python -m tests.django_shop.serve wsgi|asgi PORT`."""

from __future__ import annotations

import sys

from tests.webapps import Quiet


def main(kind: str, port: int) -> None:
    if kind == "asgi":
        import uvicorn
        from django.core.asgi import get_asgi_application

        uvicorn.run(get_asgi_application(), host="127.0.0.1", port=port, log_level="warning", lifespan="off")
        return
    from wsgiref.simple_server import make_server

    from django.core.wsgi import get_wsgi_application

    with make_server("127.0.0.1", port, get_wsgi_application(), handler_class=Quiet) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
