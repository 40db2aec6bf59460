# The one-off use: one command, then exit. Root may be read-only; what is kept lives in a volume:
#   docker run --rm --read-only --tmpfs /tmp -v state:/var/lib/janitor \
#     -v ./config:/etc/janitor:ro -e OPENAI_API_KEY IMAGE sweep
# The configuration names absolute paths under /var/lib/janitor for registry and archive; the key
# comes as {env: OPENAI_API_KEY} or as {file: /run/secrets/openai}, never from the image.

FROM python:3.13-slim AS build

# The exact versions and hashes of uv.lock, fetched from whatever index pip and uv are told of.
RUN pip install --no-cache-dir uv==0.13.8
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY pyproject.toml uv.lock ./
RUN uv export --frozen --no-dev --no-emit-project --output-file requirements.txt \
    && uv venv /opt/janitor \
    && uv pip install --python /opt/janitor --compile-bytecode --require-hashes -r requirements.txt

# The program comes last, so that a change to it fetches nothing anew.
COPY README.md LICENSE ./
COPY janitor janitor
RUN uv pip install --python /opt/janitor --compile-bytecode --no-deps .

FROM python:3.13-slim

LABEL org.opencontainers.image.title="janitor" \
      org.opencontainers.image.description="The retention daemon for OpenAI conversation state." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"

# The base brings ca-certificates; a base without them would fail at the first call, far too late.
# The user is a number, so that Kubernetes can see that it is not root.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/janitor
COPY --from=build /opt/janitor /opt/janitor

# Nothing may write beside the code; output goes out as it comes.
ENV PATH=/opt/janitor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/janitor
# Lets the calls in flight finish, then exits with 143. Give it time: `docker stop -t 600`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["janitor"]
CMD ["--help"]
