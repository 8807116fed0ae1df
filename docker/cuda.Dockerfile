# prior3d on an NVIDIA GPU. Not built where it was written: untested. The host needs the NVIDIA container toolkit.
#   docker build -f docker/cuda.Dockerfile -t prior3d-cuda .
#   docker run --rm --gpus all -v "$PWD/project:/project" prior3d-cuda run quick --prompt "a blue mug" --name mug --plain
# PyPI's wheels of PyTorch bring their own CUDA libraries, so the base image needs none.
FROM python:3.11-slim
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends libusb-1.0-0 libgl1 libegl1 libgomp1 git \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/prior3d
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt "$(grep '^torch==' constraints.txt)" \
 && pip install --no-cache-dir --constraint constraints.txt --no-deps --requirement dependencies/base.txt .
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN useradd --create-home maker && mkdir /project && chown maker /project
USER maker
WORKDIR /project
ENTRYPOINT ["sh", "-c", "[ -d .dvc ] || prior3d init >/dev/null; exec prior3d \"$@\"", "prior3d"]
CMD ["--help"]
