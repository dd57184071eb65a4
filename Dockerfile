# The image of ringway: one static binary for a user who is nobody, and the few files that name lookup reads. No shell, no package.
#
#   docker build -t ringway .
#
# `make image-rootfs` makes the same tree without a daemon, by the same commands.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -qy --no-install-recommends make gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile Cargo.toml Cargo.lock ./
COPY src src
# cargo looks for the targets that Cargo.toml names by path, though it builds none of them.
COPY benches benches
COPY tests tests
COPY README.md LICENSE ./
COPY image image
RUN make image-rootfs

FROM scratch
LABEL org.opencontainers.image.title="ringway" org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ringway/ringway"
COPY --from=build /src/target/image-rootfs/ /
USER 65532:65532
EXPOSE 4317/tcp 4318/tcp 8888/tcp 13133/tcp
ENTRYPOINT ["/usr/bin/ringway"]
CMD ["--config", "/etc/ringway/ringway.yaml"]
