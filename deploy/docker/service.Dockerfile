# syntax=docker/dockerfile:1
# One of the five services, without torch:
#
#   docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=ingest -t finetuneflow/ingest:0.1.0 .
#
# The images differ in their last layers only, so a node that has one has nearly all of the others. That of ingest has
# tesseract (Apache-2.0), which reads scans: --build-arg OCR_LANGUAGES=eng+deu says which languages, "" leaves it out.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /build

# Third parties first: this layer changes only with the lock.
COPY requirements/services.txt requirements/build.txt requirements/
RUN python -m venv /opt/finetuneflow \
    && /opt/finetuneflow/bin/pip install --require-hashes --no-deps -r requirements/services.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --no-deps -r requirements/build.txt

COPY LICENSE README.md pyproject.toml ./
COPY protos/finetuneflow protos/finetuneflow
COPY protos/generate.py protos/
COPY clients/python clients/python
COPY services services
WORKDIR /build/clients/python
RUN /opt/build/bin/python -m hatchling build -t wheel -d /build/dist
WORKDIR /build
RUN /opt/build/bin/python -m hatchling build -t wheel -d /build/dist \
    && /opt/finetuneflow/bin/pip install --no-deps dist/*.whl \
    && /opt/finetuneflow/bin/pip check \
    && /opt/finetuneflow/bin/pip uninstall --yes setuptools pip

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="FineTuneFlow" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/finetuneflow /opt/finetuneflow
# The root file system is read-only in a cluster: nothing is compiled to it.
ENV PATH=/opt/finetuneflow/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/var/lib/finetuneflow FTF_STATE=/var/lib/finetuneflow
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/finetuneflow
ARG SERVICE
RUN case "$SERVICE" in ingest|dataset|hardware|training|export) ;; \
        *) echo "SERVICE is '$SERVICE'. Use ingest, dataset, hardware, training or export." >&2; exit 1 ;; esac \
    && printf '#!/bin/sh\nexec python -m services.%s "$@"\n' "$SERVICE" > /usr/local/bin/serve \
    && chmod 0755 /usr/local/bin/serve
ARG OCR_LANGUAGES=eng
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Debian's release decides the version, and its security updates are wanted: nothing to pin.
# hadolint ignore=DL3008
RUN if [ "$SERVICE" = ingest ] && [ -n "$OCR_LANGUAGES" ]; then \
        apt-get update \
        && echo "tesseract-ocr+tesseract-ocr-$(echo "$OCR_LANGUAGES" | tr _ - | sed 's/+/+tesseract-ocr-/g')" | tr + '\n' \
            | xargs apt-get install --yes --no-install-recommends \
        && rm -rf /var/lib/apt/lists/*; fi
WORKDIR /var/lib/finetuneflow
USER 65532:65532
EXPOSE 9000 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/serve"]
