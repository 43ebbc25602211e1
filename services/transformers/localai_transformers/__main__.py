"""localai-transformers [--host H] [--port P]: prints one ready line with the URL; SIGTERM ends it."""

from __future__ import annotations

import argparse
import os
import socket
import sys


def main() -> None:
    # Nothing is fetched at run time; said before transformers is imported.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parser = argparse.ArgumentParser(prog="localai-transformers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9090, help="0: a free one, printed in the ready line")
    arguments = parser.parse_args()

    import uvicorn

    from .app import create_app
    from .settings import Settings, SettingsError

    try:
        app = create_app(Settings.from_environment())
    except SettingsError as error:
        sys.exit(f"localai-transformers: {error}")
    listener = socket.create_server((arguments.host, arguments.port))
    print(f"ready at http://{arguments.host}:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
