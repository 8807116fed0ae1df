# prior3d on a CPU. Not built where it was written: untested.
#   docker build -f docker/cpu.Dockerfile -t prior3d .
#   docker run --rm -v "$PWD/project:/project" prior3d run quick --prompt "a blue mug" --name mug --plain
FROM python:3.11-slim
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends libusb-1.0-0 libgl1 libegl1 libgomp1 git \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/prior3d
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu \
      "$(grep '^torch==' constraints.txt)" \
 && pip install --no-cache-dir --constraint constraints.txt --no-deps --requirement dependencies/base.txt .
RUN useradd --create-home maker && mkdir /project && chown maker /project
USER maker
WORKDIR /project
ENTRYPOINT ["sh", "-c", "[ -d .dvc ] || prior3d init >/dev/null; exec prior3d \"$@\"", "prior3d"]
CMD ["--help"]
