# The service (`serve`, which is what runs without a word more) and every one-off command. Root may
# be read-only; what is kept lives in a volume:
#   docker run -d --read-only --tmpfs /tmp --stop-timeout 60 -v state:/var/lib/janitor \
#     -v ./config:/etc/janitor:ro -e OPENAI_API_KEY -e OPS_TOKEN -p 127.0.0.1:9464:9464 IMAGE
# docs/operations.md says what the configuration holds, and how one-off commands are run.
#
# Packages come from where pip is told of. A configuration of its own, or an authority that the base
# does not know, goes in as a secret and stays out of every layer:
#   docker build --secret id=pip.conf,src=pip.conf --secret id=ca.crt,src=ca-certificates.crt .

FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/etc/ssl/certs/ca-certificates.crt \
    pip install uv==0.13.8

# The exact versions and hashes of uv.lock, those of the build's own tools too.
COPY pyproject.toml uv.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/etc/ssl/certs/ca-certificates.crt \
    uv export --quiet --frozen --no-emit-project --no-dev --extra all -o requirements.txt \
    && uv export --quiet --frozen --no-emit-project --only-group build -o tools.txt \
    && pip install --require-hashes -r tools.txt \
    && python -m venv --without-pip /opt/janitor \
    && pip --python /opt/janitor install --require-hashes -r requirements.txt

# The program comes last, so that a change to it fetches nothing anew.
COPY README.md LICENSE ./
COPY janitor janitor
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/janitor install --no-index --no-deps dist/*.whl

FROM python:3.13-slim

LABEL org.opencontainers.image.title="janitor" \
      org.opencontainers.image.description="The retention daemon for OpenAI conversation state." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"

# The base brings ca-certificates and tzdata; one without them would fail at the first call or at
# the first cron expression, far too late.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    && test -s /usr/share/zoneinfo/Europe/Berlin \
    && install -d -m 0755 /etc/janitor \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/janitor
COPY --from=build /opt/janitor /opt/janitor

# Nothing may write beside the code; output goes out as it comes.
ENV PATH=/opt/janitor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    JANITOR_CONFIG=/etc/janitor/janitor.yaml
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# No VOLUME: where nothing is mounted, a read-only root shall refuse to write, rather than an
# anonymous volume take in the only handle on the containers and go with this one.
WORKDIR /var/lib/janitor
# Where `service.listen` stands; from outside only if it says 0.0.0.0, which needs tokens.
EXPOSE 9464
# It asks at `service.listen`, by loopback. One-off commands do not listen, and are never unhealthy.
HEALTHCHECK --interval=1m --timeout=10s --start-period=30s \
    CMD ["janitor", "health", "--if-serving"]
# `serve` lets the calls in flight finish (`service.stop_timeout`, 30 s) and exits with 0, a one-off
# command with 143. Docker's own 10 s are too few for either: `--stop-timeout 60`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["janitor"]
CMD ["serve"]
