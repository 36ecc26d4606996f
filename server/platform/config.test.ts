import { availableParallelism } from 'node:os';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type Config, ConfigError, type ConfigOverrides, configFrom, loadConfig, workerCount } from './config.ts';

const secrets = {
  MUSTER_SOCKET_SERVER_KEY: 'sk',
  MUSTER_SESSION_ENCRYPTION_KEY: 'ek',
  MUSTER_SESSION_REFRESH_ENCRYPTION_KEY: 'rk',
};

interface Sources {
  argv?: string[];
  env?: Record<string, string>;
  files?: Record<string, string>;
}

/** Loads with good secrets, so that each test speaks of one thing. */
function load({ argv = [], env = {}, files = {} }: Sources): { config: Config; warnings: string[] } {
  const readFile = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Error('ENOENT');
    return text;
  };
  const flags = [...Object.keys(files).map((path) => `--config=${path}`), ...argv];
  return loadConfig({ argv: flags, env: { ...secrets, ...env }, readFile });
}

function problems(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('expected a ConfigError');
}

describe('sources', () => {
  it('has the defaults of the spec', () => {
    const { config, warnings } = load({});
    expect(config.name).toBe('nakama');
    expect(config.session.token_expiry_sec).toBe(60);
    expect(config.socket.port).toBe(7350);
    expect(config.database.auto_migrate).toBe(false);
    expect(config.source('socket.port')).toEqual({ kind: 'default', name: '' });
    expect(warnings).toEqual([]);
  });

  it('lets files win over defaults, environment over files, and flags over all', () => {
    const files = { 'a.yml': 'session: {token_expiry_sec: 2}\nname: a', 'b.yml': 'session: {token_expiry_sec: 3}' };
    expect(load({ files }).config.session.token_expiry_sec).toBe(3);
    expect(load({ files }).config.name).toBe('a');
    const env = { MUSTER_SESSION_TOKEN_EXPIRY_SEC: '4' };
    const withEnv = load({ files, env }).config;
    expect(withEnv.session.token_expiry_sec).toBe(4);
    expect(withEnv.source('session.token_expiry_sec')).toEqual({
      kind: 'environment',
      name: 'MUSTER_SESSION_TOKEN_EXPIRY_SEC',
    });
    const argv = ['--session.token_expiry_sec', '5'];
    const withFlag = load({ files, env, argv }).config;
    expect(withFlag.session.token_expiry_sec).toBe(5);
    expect(withFlag.source('session.token_expiry_sec')).toEqual({ kind: 'flag', name: '--session.token_expiry_sec' });
    expect(withFlag.source('name')).toEqual({ kind: 'file', name: 'a.yml' });
  });

  it('reads flags in both forms, and booleans in three', () => {
    expect(load({ argv: ['--name=n1', '--socket.port', '0'] }).config).toMatchObject({
      name: 'n1',
      socket: { port: 0 },
    });
    const single = (...argv: string[]): boolean => load({ argv }).config.session.single_socket;
    expect(single('--session.single_socket')).toBe(true);
    expect(single('--session.single_socket=true')).toBe(true);
    expect(single('--session.single_socket', 'true')).toBe(true);
    expect(single('--session.single_socket', 'false')).toBe(false);
    expect(single('--session.single_socket', '--name', 'n1')).toBe(true);
    expect(load({ argv: ['--limit', '-1'] }).config.limit).toBe(-1);
    expect(load({ argv: ['--socket.server_key=a=b'] }).config.socket.server_key).toBe('a=b');
  });

  it('complains about stray words and missing values', () => {
    expect(problems(() => load({ argv: ['start', '--name'] }))).toEqual([
      "command line: unexpected word 'start'",
      'command line: --name needs a value',
    ]);
  });

  it('collects repeated list flags, and splits lists of the environment', () => {
    const argv = ['--socket.response_headers', 'A=1', '--socket.response_headers=B=2, 3'];
    expect(load({ argv }).config.socket.response_headers).toEqual(['A=1', 'B=2, 3']);
    const fromEnv = (text: string): readonly string[] =>
      load({ env: { MUSTER_SOCKET_RESPONSE_HEADERS: text } }).config.socket.response_headers;
    expect(fromEnv('A=1, B=2')).toEqual(['A=1', 'B=2']);
    expect(fromEnv('["A=1, 2"]')).toEqual(['A=1, 2']);
  });

  it('keeps the text of YAML scalars', () => {
    const text =
      'socket: {server_key: 0123}\nsession:\n  encryption_key: 1e3\n  single_socket: yes\n  token_expiry_sec:\n';
    const { config } = load({ files: { 'a.yml': text } });
    // The environment wins over files, so look at what it does not set.
    expect(config.session.single_socket).toBe(true);
    expect(config.session.token_expiry_sec).toBe(60);
    const bare = loadConfig({ argv: ['--dev', '--config', 'a.yml'], env: {}, readFile: () => text }).config;
    expect(bare.socket.server_key).toBe('0123');
    expect(bare.session.encryption_key).toBe('1e3');
  });

  it('takes an empty variable as unset, except where text may be empty', () => {
    const env = { MUSTER_SOCKET_PORT: '', MUSTER_METRICS_PREFIX: '' };
    const { config } = load({ env });
    expect(config.socket.port).toBe(7350);
    expect(config.metrics.prefix).toBe('');
  });

  it('reports broken files without quoting them', () => {
    const files = { 'a.yml': 'socket:\n  server_key: hunter2\n server_key: hunter2', 'b.yml': '- a' };
    const found = problems(() => load({ files, argv: ['--config', 'missing.yml'] }));
    expect(found.join()).toMatch(/a\.yml: .* at line \d+.*b\.yml: must be a map.*missing\.yml: cannot be read: ENOENT/);
    expect(found.join()).not.toContain('hunter2');
  });
});

describe('unknown and unused keys', () => {
  it('names the closest known key', () => {
    const files = { 'a.yml': 'session: {token_expiry: 5}' };
    expect(problems(() => load({ files, argv: ['--socket.prot', '1', '--session.single-socket'] }))).toEqual([
      'a.yml: unknown key session.token_expiry; did you mean session.token_expiry_sec?',
      'command line: unknown key socket.prot; did you mean socket.port?',
      'command line: unknown key session.single-socket; did you mean session.single_socket?',
    ]);
  });

  it('only warns of unknown variables, since orchestrators add their own', () => {
    const { warnings } = load({ env: { MUSTER_SERVICE_HOST: '10.0.0.1', MUSTER_SOCKET_PROT: '1' } });
    expect(warnings).toHaveLength(2);
    expect(warnings[1]).toBe('environment: MUSTER_SOCKET_PROT is not an option; the closest is MUSTER_SOCKET_PORT');
  });

  it('accepts a whole configuration of Nakama, with one warning', () => {
    const text = `
name: nakama-node-1
data_dir: ./data/
logger: {stdout: false, level: warn, file: /tmp/log, rotation: true}
console: {port: 7351, username: me, password: secret, mfa: {admin_account_enabled: true}}
runtime:
  env: [a=b]
  http_key: key
  js_min_count:
social: {steam: {publisher_key: x, app_id: 1}}
matchmaker: {rev_precision: true}
iap: {apple: {shared_password: x}}
database: {address: ["root@localhost:26257"], max_open_conns: 5}
`;
    const argv = ['--runtime.lua_read_only_globals', '--console.port', '1', '--satori.url=x'];
    const { config, warnings } = load({ files: { 'n.yml': text }, argv });
    expect(config.database.url).toBe('postgresql://root@localhost:26257/nakama');
    expect(warnings).toEqual([
      'accepted, but without effect in this version: console.mfa.admin_account_enabled, console.password, ' +
        'console.port, console.username, database.max_open_conns, logger.rotation, matchmaker.rev_precision, ' +
        'runtime.env, runtime.http_key, runtime.lua_read_only_globals, satori.url',
    ]);
    expect(config.social.steam).toMatchObject({ publisher_key: 'x', app_id: 1 });
  });
});

describe('rules', () => {
  const several = { workers: 100, 'redis.url': 'redis://127.0.0.1' };
  const broken: [ConfigOverrides, string | RegExp][] = [
    [{ name: '' }, 'name must not be empty (override name)'],
    [{ name: 'x'.repeat(17) }, 'name must have 1-16 characters (override name)'],
    [{ shutdown_grace_sec: -1 }, /shutdown_grace_sec must be at least 0/],
    [{ 'logger.level': 'trace' as never }, /logger.level must be one of debug, info, warn, error/],
    [{ 'session.token_expiry_sec': 0 }, /session.token_expiry_sec must be at least 1/],
    [{ 'session.token_expiry_sec': 1.5 }, /session.token_expiry_sec must be a whole number/],
    [{ 'session.encryption_key': '' }, /session.encryption_key must not be empty/],
    [{ 'session.encryption_key': 'same', 'session.refresh_encryption_key': 'same' }, /must differ/],
    [{ 'session.single_match': true }, 'Single match cannot be enabled without single socket'],
    [{ 'session.single_party': true }, 'Single party cannot be enabled without single socket'],
    [{ 'socket.ping_period_ms': 25000 }, /socket.ping_period_ms must be less than socket.pong_wait_ms/],
    [{ 'socket.ssl_certificate': 'a.pem' }, /must be set together/],
    [{ 'socket.response_headers': ['A=1', 'B'] }, /form Key=value/],
    [{ 'socket.port': 65536 }, /socket.port must be 0-65535/],
    [{ 'auth.bcrypt_cost': 3 }, /auth.bcrypt_cost must be 4-20/],
    [{ 'database.address': ['user:pa/ss word@'] }, /database.address must be of the form/],
    [{ 'database.url': 'mysql://x' }, /database.url must be of the form/],
    [{ 'iap.apple.notifications_endpoint_id': 'a/b' }, /notifications_endpoint_id must be one segment of a path/],
    [{ 'iap.google.notifications_endpoint_id': '..' }, /notifications_endpoint_id must be one segment of a path/],
    [{ 'session.single_socket': 'maybe' as never }, /session.single_socket must be true or false/],
    [{ workers: 129 }, /workers must be 0-128/],
    [{ workers: 2 }, /^--workers 2 needs Redis.*: set redis.url, redis.sentinels or redis.cluster$/],
    [{ 'redis.cluster': ['a:1'], 'redis.sentinels': ['b:2'] }, /redis.cluster and redis.sentinels cannot both be set/],
    [{ 'redis.cluster': ['redis://a:1'] }, 'redis.cluster must be of the form host:port'],
    [{ 'redis.cluster': ['a:1'], 'redis.url': 'redis://me:secret@a/2' }, /redis.url must be .* without a database/],
    [{ ...several, name: 'x'.repeat(14) }, /name must have at most 13 characters with --workers 100/],
    [{ ...several, 'metrics.prometheus_port': 65_437 }, /prometheus_port leaves too few ports for --workers 100/],
    [{ ...several, 'metrics.prometheus_port': 7300 }, /socket.port must not be one of .* metrics ports, 7300-7399/],
  ];

  it.each(broken)('refuses %j', (overrides, expected) => {
    const [problem = '', ...others] = problems(() => configFrom(overrides));
    if (typeof expected === 'string') expect(problem).toBe(expected);
    else expect(problem).toMatch(expected);
    expect(others).toEqual([]);
  });

  it('lets several workers be, up to the last port and the longest name', () => {
    const config = { ...several, name: 'x'.repeat(13), 'metrics.prometheus_port': 65_436, 'socket.port': 65_435 };
    expect(configFrom(config).workers).toBe(100);
    expect(configFrom({ workers: 2, 'redis.sentinels': ['127.0.0.1:26379'] }).workers).toBe(2);
    expect(configFrom({ workers: 2, 'redis.cluster': ['127.0.0.1:7000'] }).workers).toBe(2);
    expect(workerCount(2)).toBe(2);
    expect(workerCount(0)).toBe(availableParallelism());
  });

  it('takes user, password and TLS of a Redis Cluster from the URL', () => {
    for (const url of ['redis://me:secret@a', 'rediss://:secret@a:1/', 'redis://a:1/0']) {
      expect(configFrom({ 'redis.cluster': ['a', 'b.example:7001'], 'redis.url': url }).redis.url).toBe(url);
    }
  });

  it('lists everything that is wrong, without the values', () => {
    const run = (): unknown => loadConfig({ argv: ['--socket.port=secret1', '--nmae', 'x', '--limit', 'y'], env: {} });
    const found = problems(run);
    expect(found).toHaveLength(4);
    expect(found.join()).not.toContain('secret1');
    expect(run).toThrow(/^invalid configuration:\n {2}- command line: unknown key nmae; did you mean name\?\n/);
  });

  it('refuses public default secrets outside dev, and warns of them in dev', () => {
    expect(problems(() => loadConfig({ argv: [], env: { MUSTER_SOCKET_SERVER_KEY: 'mine' } }))).toEqual([
      'set these secrets (as in MUSTER_SESSION_ENCRYPTION_KEY=...), or run with --dev: ' +
        'session.encryption_key, session.refresh_encryption_key',
    ]);
    expect(problems(() => loadConfig({ argv: ['--socket.server_key', 'defaultkey'], env: {} }))[0]).toContain(
      'socket.server_key',
    );
    const { config, warnings } = loadConfig({ argv: ['--dev'], env: {} });
    expect(config.database.auto_migrate).toBe(true);
    expect(warnings).toEqual([
      'public default secrets in use, for development only: session.encryption_key, ' +
        'session.refresh_encryption_key, socket.server_key',
    ]);
  });

  it('lets an explicit auto_migrate win over dev', () => {
    expect(load({ argv: ['--dev', '--database.auto_migrate=false'] }).config.database.auto_migrate).toBe(false);
  });
});

describe('database', () => {
  const url = (address: string): string => configFrom({ 'database.address': [address] }).database.url;

  it('reads addresses as Nakama writes them', () => {
    expect(url('localhost')).toBe('postgresql://root@localhost:5432/nakama');
    expect(url('u:p@db:1/name?sslmode=require')).toBe('postgresql://u:p@db:1/name?sslmode=require');
    expect(url('postgres://u:p@db/name')).toBe('postgresql://u:p@db:5432/name');
    expect(url('u:p@ss/w:rd@[::1]:5433')).toBe('postgresql://u:p%40ss%2Fw%3Ard@[::1]:5433/nakama');
    expect(url('u:p%40ss@db/')).toBe('postgresql://u:p%40ss@db:5432/nakama');
  });

  it('prefers the URL, and says so', () => {
    const env = { DATABASE_URL: 'postgresql://a@b/c' };
    const argv = ['--database.address', 'x@y/z'];
    const { config, warnings } = load({ env, argv });
    expect(config.database.url).toBe('postgresql://a@b/c');
    expect(warnings).toEqual(['database.address is ignored: database.url is set (environment DATABASE_URL)']);
    const own = load({ env: { ...env, MUSTER_DATABASE_URL: 'postgresql://own/db' } }).config;
    expect(own.database.url).toBe('postgresql://own/db');
    expect(load({ argv }).config.source('database.url')).toEqual({ kind: 'flag', name: '--database.address' });
  });
});

describe('the configuration object', () => {
  const config = configFrom({
    'socket.server_key': 'hunter2',
    'session.encryption_key': 'hunter2',
    'database.url': 'postgresql://user:hunter2@db/x?password=hunter2',
    'database.address': ['user:hunter2@db/x'],
    'socket.response_headers': ['A=1'],
  });

  it('hides secrets wherever it is printed', () => {
    const texts = [config, config.socket, config.session, config.database, { deep: { config } }].flatMap((each) => [
      JSON.stringify(each),
      inspect(each, { depth: 10 }),
    ]);
    for (const text of texts) {
      expect(text).not.toContain('hunter2');
      expect(text).toContain('REDACTED');
    }
    expect(config.toJSON()).toMatchObject({
      socket: { server_key: 'REDACTED', port: 7350 },
      database: { url: 'postgresql://user:REDACTED@db/x?password=REDACTED', address: ['user:REDACTED@db/x'] },
    });
    expect(config.socket.server_key).toBe('hunter2');
  });

  it('cannot be changed', () => {
    expect(() => Object.assign(config, { name: 'x' })).toThrow(TypeError);
    expect(() => Object.assign(config.socket, { port: 1 })).toThrow(TypeError);
    expect(() => (config.socket.response_headers as string[]).push('B=2')).toThrow(TypeError);
  });

  it('refuses unknown overrides', () => {
    expect(problems(() => configFrom({ 'socket.prot': 1 } as never))[0]).toMatch(/did you mean socket.port/);
  });
});
