# dcam_dist with the pinned packages for CUDA 13. Build in the checkout: docker build -f containers/cuda13.Dockerfile -t dcam-dist:cuda13 .
ARG BASE=docker.io/library/python:3.12.12-slim-bookworm
# the default above is a pinned tag; another base is for registries that mirror it
# hadolint ignore=DL3006
FROM ${BASE}

LABEL org.opencontainers.image.title="dcam_dist" \
      org.opencontainers.image.description="Unsupervised emphysema subtyping from chest CT, CUDA 13" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The dcam_dist authors"

# g++: torch.compile and Triton call a compiler when they run; the rest lets NCCL use InfiniBand. Debian keeps only the
# newest versions, so a pinned one could soon not be installed.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ ibverbs-providers libibverbs1 librdmacm1 \
    && rm -rf /var/lib/apt/lists/*

COPY LICENSE README.md pyproject.toml constraints/cuda13.txt /opt/src/
COPY dcam_dist /opt/src/dcam_dist
COPY launch_scripts /opt/src/launch_scripts
COPY configs /opt/dcam-dist/configs

# The constraints as a variable also bind the packages that others are built with. A checkout may be readable by its
# owner alone; what is in the image is for any user.
RUN umask 022 \
    && python -m venv /opt/venv \
    && PIP_CONSTRAINT=/opt/src/cuda13.txt /opt/venv/bin/pip install --no-cache-dir "/opt/src[gpu-cu13,deepspeed,slurm]" \
    && /opt/venv/bin/pip check \
    && rm -rf /opt/src \
    && chmod -R a+rX /opt/dcam-dist \
    && useradd --uid 10001 --home-dir /tmp --no-create-home dcam

# Kernels and fonts are compiled when they are first needed: into a folder that any user may make. HOME is there for
# users without an entry in passwd.
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    XDG_CACHE_HOME=/tmp/dcam-dist/xdg \
    MPLCONFIGDIR=/tmp/dcam-dist/matplotlib \
    TRITON_CACHE_DIR=/tmp/dcam-dist/triton \
    TORCHINDUCTOR_CACHE_DIR=/tmp/dcam-dist/inductor \
    CUPY_CACHE_DIR=/tmp/dcam-dist/cupy \
    CUDA_CACHE_PATH=/tmp/dcam-dist/cuda \
    HOME=/tmp

USER 10001:10001
WORKDIR /data
ENTRYPOINT ["dcam-dist"]
CMD ["--help"]
