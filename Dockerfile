FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

COPY requirements-build.lock ./
RUN python -m venv tools \
    && tools/bin/pip install --require-hashes --no-deps --requirement requirements-build.lock

# Before the sources, so that a change of these does not install everything anew.
COPY requirements.lock ./
RUN python -m venv /opt/vaultd \
    && /opt/vaultd/bin/pip install --require-hashes --no-deps --requirement requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY migrations migrations
RUN tools/bin/python -m hatchling build --target wheel --directory dist \
    && /opt/vaultd/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/vaultd/bin/pip uninstall --yes pip \
    && install --directory --mode=0700 state

# No RUN below this line: the image is made, started and checked without a shell.
FROM python:3.13-slim

LABEL org.opencontainers.image.title="vaultd" \
      org.opencontainers.image.description="A self-hosted vault for the OAuth tokens that agents use" \
      org.opencontainers.image.licenses="Apache-2.0"

ENV HOME=/var/lib/vaultd \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VAULTD_CONFIG=/etc/vaultd/vaultd.toml

COPY --from=build /opt/vaultd /opt/vaultd
COPY --from=build --chown=10001:10001 /build/state /var/lib/vaultd

USER 10001:10001
EXPOSE 8080
VOLUME ["/var/lib/vaultd"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/opt/vaultd/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/ready', timeout=4)"]
ENTRYPOINT ["/opt/vaultd/bin/vaultd"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
