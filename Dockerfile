# A detector as the SzCORE benchmark runs one, with a scored run baked in:
#   docker build --build-arg RUN=runs/NAME --tag detector .
#   docker run --rm --network none -v EEG_FOLDER:/data:ro -v RESULTS:/output -e INPUT=a.edf -e OUTPUT=a.tsv detector
# RUN is demo/run or lies in runs/ (see .dockerignore). The package index is pip's own setting: --build-arg
# PIP_INDEX_URL=... (one of CPU builds of torch keeps the image small).

# The compiled parts are made here; the image that runs has no compiler.
FROM python:3.11-slim AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
WORKDIR /build
COPY pyproject.toml README.md LICENSE braincodec_seizure.py ./
COPY store store
COPY extract extract
COPY heads heads
COPY eval eval
RUN pip wheel --no-cache-dir --no-deps --wheel-dir wheels .

FROM python:3.11-slim
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG RUN
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY constraints.txt ./
COPY --from=build /build/wheels wheels
RUN pip install --no-cache-dir --constraint constraints.txt wheels/*.whl
COPY container/detect.sh ./
COPY ${RUN} run

ENV INPUT="" OUTPUT="" HOME=/tmp MNE_DONTWRITE_HOME=true PYTHONDONTWRITEBYTECODE=1
VOLUME ["/data", "/output"]
USER 10001:10001
WORKDIR /tmp
CMD ["/app/detect.sh"]
