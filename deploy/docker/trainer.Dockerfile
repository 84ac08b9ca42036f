# syntax=docker/dockerfile:1
# The program inside every Job, with torch and CUDA:
#
#   docker build -f deploy/docker/trainer.Dockerfile -t finetuneflow/trainer:0.1.0 .
#
# It begins with Python and not with a CUDA image: torch's wheels bring the CUDA libraries that they were built with, and
# a second set would only add gigabytes and a version to disagree about. The driver comes from the node, by the NVIDIA
# container toolkit. Without GPUs, a CPU build is a tenth of the size:
#
#   --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /build

# torch alone: gigabytes that change with its version only.
COPY requirements/torch.txt requirements/
# Empty: the index that pip is set to use.
ARG TORCH_INDEX_URL=
RUN python -m venv /opt/finetuneflow \
    && /opt/finetuneflow/bin/pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} -r requirements/torch.txt

COPY requirements/trainer.txt requirements/build.txt requirements/
RUN /opt/finetuneflow/bin/pip install --require-hashes --no-deps -r requirements/trainer.txt \
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
    && /opt/finetuneflow/bin/pip uninstall --yes pip

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="FineTuneFlow trainer" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/finetuneflow /opt/finetuneflow
# What the container toolkit hands in; the CUDA images would set these.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Jobs mount their own folders over these; a container by itself finds them here. Two OpenMP processes that spin for
# each other's cores are many times slower than two that sleep.
ENV PATH=/opt/finetuneflow/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/var/lib/finetuneflow HF_HOME=/cache/huggingface \
    TRITON_CACHE_DIR=/tmp/triton TORCHINDUCTOR_CACHE_DIR=/tmp/inductor MPLCONFIGDIR=/tmp/matplotlib \
    OMP_WAIT_POLICY=PASSIVE
RUN install -d -o 65532 -g 65532 -m 0700 /cache /cache/huggingface /var/lib/finetuneflow
WORKDIR /var/lib/finetuneflow
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "services.trainer"]
