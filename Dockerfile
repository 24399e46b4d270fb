# The image `agent-worker`: the three programs, the official Claude CLI, and what both need. One tag for each worker
# (docs/docker.md):
#
#   docker build -t agent-worker:marie --build-arg WORKER_NAME=marie --build-arg METRICS_ADDR=0.0.0.0:9091 .
#
# Where the programs are built already, put watcher, supervisor, agentctl and claude into dist/ and add
# `--target prebuilt`: nothing is compiled, and the stages below it are not looked at.
ARG BASE=debian:bookworm-slim
ARG BUILDER=rust:1.95-bookworm
ARG NODE=node:22-bookworm-slim

# ---- what every image has: the user, the tools of the agents and of the health check, the names that runbooks know
FROM ${BASE} AS system
# More of Debian's packages: `gdb` to look at core dumps, a compiler for the agents.
ARG PACKAGES=""
RUN set -eu; \
    missing=""; \
    for package in ca-certificates curl git jq procps ${PACKAGES}; do \
      dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"; \
    done; \
    if [ -n "$missing" ]; then \
      apt-get update -q; \
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; \
      rm -rf /var/lib/apt/lists/*; \
    fi; \
    groupadd --gid 10001 agent-worker; \
    useradd --uid 10001 --gid 10001 --create-home --shell /bin/bash agent-worker; \
    install -d -o 10001 -g 10001 -m 2770 /shared /var/log/agents; \
    mkdir /app; \
    for program in watcher supervisor agentctl; do ln -s /app/$program /usr/local/bin/$program; done
COPY docker/python /usr/local/bin/python
COPY docker/watcher.py /app/watcher.py
ENV HOME=/home/agent-worker \
    SHARED_ROOT=/shared \
    LOG_DIR=/var/log/agents \
    DISABLE_AUTOUPDATER=1
# A core dump, where they are switched on, lands in the home, which outlives the container.
WORKDIR /home/agent-worker
# The watcher is the first process of its container: it hears SIGTERM and reaps, no init is needed beside it.
STOPSIGNAL SIGTERM
USER 10001:10001
CMD ["/app/watcher"]

# ---- with programs that are built already
FROM system AS prebuilt
COPY dist/claude /usr/local/bin/claude
COPY dist/watcher dist/supervisor dist/agentctl /app/
ARG WORKER_NAME=""
ARG METRICS_ADDR=""
ENV WORKER_NAME=${WORKER_NAME} METRICS_ADDR=${METRICS_ADDR}

# ---- the programs as in packages: a core dump names functions and lines
FROM ${BUILDER} AS programs
WORKDIR /src
COPY . .
RUN scripts/programs.sh /programs && mkdir /out && mv /programs/watcher /programs/supervisor /programs/agentctl /out/

# ---- the official CLI: the npm package brings one program that needs no Node
FROM ${NODE} AS cli
ARG CLAUDE_VERSION=2.1.330
RUN npm install -g --no-fund --no-audit "@anthropic-ai/claude-code@${CLAUDE_VERSION}" \
    && install -D "$(readlink -f "$(command -v claude)")" /out/claude

# ---- the image
FROM system AS release
COPY --from=cli /out/claude /usr/local/bin/claude
COPY --from=programs /out/ /app/
ARG WORKER_NAME=""
ARG METRICS_ADDR=""
ENV WORKER_NAME=${WORKER_NAME} METRICS_ADDR=${METRICS_ADDR}
