// Goal: every wrong setting is named where it stands, with what to do; every right one arrives.
// Method: sources in, config or problems out; nothing is read from the machine.
import t from 'tap';
import { createProgram, type ServeArguments } from '../../cli/command-line.ts';
import { type Config, type ConfigProblem, isLoopback, readConfig } from '../../cli/config.ts';
import { retentionDeletions } from '../../storage/deletion/retention.ts';
import { MULTITENANT_LIMITS, SINGLE_TENANT_LIMITS } from '../../model/limits.ts';

interface Sources {
  readonly yaml?: string | Buffer;
  readonly env?: Record<string, string>;
  readonly flags?: Record<string, string[]>;
}

function read(sources: Sources): ReturnType<typeof readConfig> {
  return readConfig({
    ...(sources.yaml === undefined
      ? {}
      : { file: { name: 'starling.yaml', bytes: Buffer.from(sources.yaml) } }),
    environment: sources.env ?? {},
    flags: new Map(Object.entries(sources.flags ?? {})),
  });
}

function accepted(sources: Sources): Config {
  const result = read(sources);
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

function refused(sources: Sources): readonly ConfigProblem[] {
  const result = read(sources);
  return 'problems' in result ? result.problems : [];
}

t.test('with no configuration at all there is one working node on loopback', async (t) => {
  t.match(accepted({}), {
    httpListen: '127.0.0.1:9009',
    grpcListen: '127.0.0.1:9095',
    gossipListen: '127.0.0.1:7946',
    join: [],
    replicationFactor: 3,
    walDurability: 'batch',
    multitenancy: false,
    limits: SINGLE_TENANT_LIMITS,
  });
});

t.test('later sources win: default, file, environment, flag', async (t) => {
  const yaml =
    'http: {listen: "127.0.0.1:1"}\ngrpc: {listen: "127.0.0.1:1"}\ngossip: {listen: "127.0.0.1:1"}\n';
  const env = {
    STARLING_GRPC__LISTEN: '127.0.0.1:2',
    STARLING_GOSSIP__LISTEN: '127.0.0.1:2',
    STARLING_JOIN: '127.0.0.1:5,127.0.0.1:6',
    PATH: '/bin',
  };
  const flags = { 'gossip.listen': ['127.0.0.1:3'] };
  t.match(accepted({ yaml, env, flags }), {
    httpListen: '127.0.0.1:1',
    grpcListen: '127.0.0.1:2',
    gossipListen: '127.0.0.1:3',
    join: ['127.0.0.1:5', '127.0.0.1:6'],
  });
});

t.test("limits take Cortex' keys, and their defaults depend on multi-tenancy", async (t) => {
  t.match(accepted({ yaml: 'multitenancy: true' }).limits, MULTITENANT_LIMITS);
  t.match(
    accepted({ yaml: 'multitenancy: true\nlimits: {ingestion_rate: 7, creation_grace_period: 1m}' })
      .limits,
    { ...MULTITENANT_LIMITS, ingestion_rate: 7, creation_grace_period_ms: 60_000 },
  );
  t.equal(
    accepted({ flags: { 'limits.max-series-per-user': ['9'] } }).limits.max_series_per_user,
    9,
  );
});

t.test('C1 problems of a file say file:line:column and suggest the nearest name', async (t) => {
  const check = (yaml: string | Buffer, where: string, why: RegExp): void => {
    const problems = refused({ yaml });
    t.match(problems[0]?.where, where, String(yaml));
    t.match(problems[0]?.why, why);
  };
  check('data_dri: x', 'starling.yaml:1:1', /did you mean data_dir\?/);
  check('http:\n  lisen: 127.0.0.1:1', 'starling.yaml:2:3', /did you mean listen\?/);
  check('wal:\n  durability: fast', 'starling.yaml:2:3', /batch, interval or os/);
  check('replication_factor: many', 'starling.yaml:1:1', /number/);
  check('replication_factor: 2.5', 'starling.yaml:1:1', /whole/);
  check('replication_factor: 0', 'starling.yaml:1:1', /at least 1/);
  check('http: 9009', 'starling.yaml:1:1', /mapping/);
  const filters = (one: string): string =>
    `limits:\n  compactor_blocks_retention_filters: ['${one}']`;
  check(filters('{a="b"}'), 'starling.yaml:2:', /SELECTOR:PERIOD/);
  check(filters('{a="b"}:0d'), 'starling.yaml:2:', /colon and a duration/);
  check(filters('{a=}:1d'), 'starling.yaml:2:', /SELECTOR:PERIOD.*parse error/);
  check(filters('{a=~".*"}:1d'), 'starling.yaml:2:', /SELECTOR:PERIOD.*matcher/);
  check('http:\n\tlisten: x', 'starling.yaml:2:1', /./);
  check('zone: a\nzone: b', 'starling.yaml:2:1', /unique/i);
  check('http:\n    listen: a:1\n  other: b', 'starling.yaml:', /./);
  check('- a', 'starling.yaml:1:1', /mapping/);
  check('insecure: maybe', 'starling.yaml:1:1', /true or false/);
  check('__proto__: {x: 1}', 'starling.yaml:1:1', /no such setting/);
  check(Buffer.alloc(5 * 1024 * 1024, 'a'), 'starling.yaml', /limit is 4194304/);
});

t.test('retention filters that differ in whitespace of a value are told apart', (t) => {
  const texts = ['{a="b c"}:1d', '{a="b  c"}:1d', '{a="b\tc"}:1d', '{ a = "b c" }:1d'];
  const flags = { 'limits.compactor-blocks-retention-filters': texts.map((one) => ` ${one}`) };
  const { retentionRules } = accepted({ flags });
  t.strictSame(
    retentionRules.map(({ matchers, text }) => [matchers[0]?.value, text]),
    ['b c', 'b  c', 'b\tc', 'b c'].map((value, i) => [value, texts[i]]),
  );
  const { due } = retentionDeletions(retentionRules, 0);
  t.equal(new Set(due.map(({ id }) => id)).size, texts.length);
  t.end();
});

t.test('C1 a file may be empty, and may have a byte order mark or CRLF', async (t) => {
  t.equal(accepted({ yaml: '' }).httpListen, '127.0.0.1:9009');
  t.equal(accepted({ yaml: '# nothing\n' }).httpListen, '127.0.0.1:9009');
  t.equal(accepted({ yaml: '\ufeffzone: a\r\ninsecure: true\r\n' }).zone, 'a');
});

t.test('C1 problems of flags and variables say which', async (t) => {
  t.match(refused({ flags: { 'data.dir': ['x'] } }), [
    { where: '--data.dir', why: /did you mean --data-dir\?/ },
  ]);
  t.match(refused({ env: { STARLING_DATADIR: 'x' } }), [
    { where: 'STARLING_DATADIR', why: /did you mean STARLING_DATA_DIR\?/ },
  ]);
  t.match(refused({ flags: { zone: ['a', 'b'] } }), [{ where: '--zone', why: /more than once/ }]);
  t.match(refused({ flags: { 'instance-id': ['a/b'] } }), [
    { where: '--instance-id', why: /instance id/ },
  ]);
  t.equal(
    refused({ yaml: 'zone: "!"\nlog: {level: loud}', flags: { 'wal.durability': ['x'] } }).length,
    3,
    'all at once',
  );
});

t.test('C5 durations and addresses out of bounds are refused', async (t) => {
  for (const text of ['-1s', '1e9y', '5', '', '1s2', '0s', '100000w', 's']) {
    t.match(
      refused({ flags: { 'query.timeout': [text] } }),
      [{ where: '--query.timeout', why: /duration/ }],
      text,
    );
  }
  t.equal(accepted({ flags: { 'query.timeout': ['1h30m'] } }).query.timeoutMs, 5_400_000);
  for (const text of ['9009', 'host', 'host:99999', 'a:b', ':1', '::1:1']) {
    t.match(refused({ flags: { 'http.listen': [text] } }), [{ where: '--http.listen' }], text);
  }
  t.equal(accepted({ flags: { 'http.listen': ['[::1]:0'] } }).httpListen, '[::1]:0');
});

t.test('a node beyond loopback needs a key or --insecure, and a label', async (t) => {
  const listen = { 'grpc.listen': ['10.0.0.1:9095'] };
  t.match(refused({ flags: listen }), [
    { where: '--grpc.listen', why: /--cluster\.key-file.*--insecure/ },
  ]);
  t.match(refused({ flags: { ...listen, insecure: ['true'] } }), [{ why: /--cluster\.label/ }]);
  t.ok(accepted({ flags: { ...listen, insecure: ['true'], 'cluster.label': ['prod'] } }));
  t.ok(accepted({ flags: { ...listen, 'cluster.key-file': ['k'], 'cluster.label': ['prod'] } }));
  t.ok(isLoopback('127.9.9.9:1') && isLoopback('[::1]:1') && isLoopback('localhost:1'));
  t.notOk(isLoopback('0.0.0.0:1') || isLoopback('[::]:1') || isLoopback('10.0.0.1:1'));
});

t.test('createProgram() reads the flags of serve as the settings table says', async (t) => {
  const seen: ServeArguments[] = [];
  const parse = async (...args: string[]): Promise<ServeArguments | undefined> => {
    const program = createProgram('1.2.3', { serve: async (given) => void seen.push(given) });
    await program.parseAsync(['serve', ...args], { from: 'user' });
    return seen.at(-1);
  };
  t.same(await parse(), { flags: new Map(), configFile: undefined, printConfig: false });
  const given = await parse(
    '--http.listen=127.0.0.1:1',
    '--join',
    'a:1',
    '--join=b:2',
    '--insecure',
    '--data-dir=x',
    '--limits.ingestion-rate=5',
    '--config.file=f',
    '--print-config',
    '--multitenancy=false',
    '--wal.sync-interval=2s',
  );
  t.same(given, {
    flags: new Map([
      ['http.listen', ['127.0.0.1:1']],
      ['join', ['a:1', 'b:2']],
      ['insecure', ['true']],
      ['multitenancy', ['false']],
      ['wal.sync-interval', ['2s']],
      ['data-dir', ['x']],
      ['limits.ingestion-rate', ['5']],
    ]),
    configFile: 'f',
    printConfig: true,
  });
});
