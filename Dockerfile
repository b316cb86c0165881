# One image for every process of ours; what runs is the command: dist/api/server.js, dist/workers/main.js,
# dist/gateway/server.js, dist/cli/provision.js, … See docs/deployment.md.
#
# glibc is needed: Temporal's native core does not load on musl, so no Alpine. Version of 2026-11-23.
ARG NODE_IMAGE=node:24.20.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The optional packages are the embedded PostgreSQL and the compilers of tsx and of the bundler: a built worker needs none.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
  && rm -rf node_modules/@temporalio/core-bridge/releases/*-apple-* node_modules/@temporalio/core-bridge/releases/*-windows-*

FROM ${NODE_IMAGE}
# Production unless told otherwise: then there is no local signing key, no seed, and no scripted fault of the gateway.
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
# Made here so that a volume mounted there belongs to the account that runs the processes.
RUN install --directory --owner=node --group=node --mode=0700 /data
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
USER node
# API, gateway and workers drain on SIGTERM, also as process 1. Commands that run once have no handlers, and the kernel keeps
# such signals from process 1: give those an init, as docker-compose.yml does.
STOPSIGNAL SIGTERM
CMD ["node", "dist/api/server.js"]
