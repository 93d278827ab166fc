# The controller alone, without the simulators: docker build --tag failback .
#
# Both images can be replaced by copies of your own. The second needs glibc and nothing else: a "distroless" one with
# libc and libgcc serves as well as Debian's.
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
# Without rust-toolchain.toml: the image is of the version that it names, and has no use for the tools that it lists.
COPY Cargo.toml Cargo.lock ./
# Members of the workspace, and a target of the manifest: cargo wants them there, and builds neither.
COPY sim sim
COPY examples examples
COPY src src
RUN cargo build --locked --release --no-default-features --features operator,otlp --bin failback

FROM ${RUNTIME_IMAGE}
# Authorities that are trusted by default; the chart's `trust` values add to them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/target/release/failback /usr/local/bin/failback
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/failback"]
CMD ["controller"]
