# A detector for the SzCORE benchmark, with a scored run baked in:
#   docker build --build-arg RUN=runs/NAME --tag detector .
#   docker run --rm --network none -v EEG_FOLDER:/data:ro -v RESULTS:/output -e INPUT=a.edf -e OUTPUT=a.tsv detector
# The package index is pip's own setting: --build-arg PIP_INDEX_URL=... (one of CPU builds of torch keeps it small).
FROM python:3.11-slim

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG RUN
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE braincodec_seizure.py ./
COPY store store
COPY extract extract
COPY heads heads
COPY eval eval
RUN pip install --no-cache-dir --constraint constraints.txt .
COPY ${RUN}/config.json run/config.json
COPY ${RUN}/folds/final run/folds/final

ENV INPUT="" OUTPUT="" HOME=/tmp MNE_DONTWRITE_HOME=true
VOLUME ["/data", "/output"]
USER 1000:1000
WORKDIR /tmp
CMD ["sh", "-c", "exec python -m eval.detect \"/data/$INPUT\" \"/output/$OUTPUT\" --run /app/run"]
