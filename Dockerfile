# secretbake's own image: the program, the C library and the CA certificates, for a user that is not root, without a shell.
#
#   docker build -t secretbake .
#
# BUILDER has the toolchain of rust-toolchain.toml and a C compiler; BASE has glibc (no older than BUILDER's), libgcc and
# CA certificates. Both can be your own mirror's. Renovate (renovate.json) keeps their digests up to date.
ARG BUILDER=docker.io/library/rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${BUILDER} AS build
WORKDIR /build
# what the image has, so that rustup fetches neither another nor the components that only development needs
ENV RUSTUP_TOOLCHAIN=1.95.0
# as in scripts/release; ARCHITECTURE.md says why
ENV AWS_LC_SYS_NO_JITTER_ENTROPY=1
COPY . .
RUN cargo build --locked --release

FROM ${BASE}
COPY --from=build /build/target/release/secretbake /usr/local/bin/secretbake
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/secretbake"]
