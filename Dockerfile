# jaxstage in a container, for CPUs, or for NVIDIA GPUs (cuda12: driver 525 or later, cuda13: 580 or later).
#
#   docker build --tag jaxstage .
#   docker build --tag jaxstage --build-arg EXTRA=cuda12 .
#   docker run --rm -v "$PWD/runs:/work/runs" jaxstage search --config=digits
#   docker run --rm --gpus all -v "$PWD/runs:/work/runs" -v "$HOME/tensorflow_datasets:/work/data" \
#     jaxstage search --config=cifar10
#
# Make the folders first (mkdir -p runs), Docker would make them root's. The container is user 1000: who is another one
# adds --user "$(id -u):$(id -g)".
FROM python:3.13-slim AS build
ARG EXTRA=
WORKDIR /source
COPY . .
RUN python -m venv /opt/jaxstage && /opt/jaxstage/bin/pip install --no-cache-dir ".${EXTRA:+[$EXTRA]}"

FROM python:3.13-slim
COPY --from=build /opt/jaxstage /opt/jaxstage
# All may write to /work, and it is everybody's home: with --user a user may have no other.
RUN useradd --uid 1000 --no-create-home --home-dir /work jaxstage && install -d -m 777 /work /work/runs /work/data
ENV PATH=/opt/jaxstage/bin:$PATH HOME=/work TFDS_DATA_DIR=/work/data
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["jaxstage"]
CMD ["--help"]
