import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createTestSchema } from './database.ts';
import { freePort } from './ports.ts';
import { waitFor } from './wait.ts';

/** A node in a process of its own, for tests that watch what happens to the process. */
export interface ProcessNode {
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  /** Lines of level error and above that the process logged. */
  readonly errors: readonly string[];
  readonly hasExited: boolean;
  /** Where a debugger may attach; 0 unless it was asked for. */
  readonly inspectorPort: number;
  /** The Prometheus text. */
  metrics(): Promise<string>;
  /** Value of a metric from that text; `label` picks one of several, such as `quantile="1"`. */
  metric(name: string, label?: string): Promise<number>;
  /** Asks the process to stop, waits for it, and answers its exit code. */
  stop(): Promise<number | null>;
}

const mainFile = fileURLToPath(new URL('../main.ts', import.meta.url));

/**
 * Starts `main.ts start --dev` on free ports and a schema of its own.
 * @param flags further `--key value` pairs.
 * @param inspect whether debuggers may attach; they have to go before the node can stop.
 * @param program another program that starts a node as `main.ts` does.
 * @param env in its environment besides what is in this process's.
 */
export async function startProcessNode(
  flags: Record<string, string> = {},
  { inspect = false, program = mainFile, env = {} as Readonly<Record<string, string>> } = {},
): Promise<ProcessNode> {
  const schema = await createTestSchema();
  const metricsPort = await freePort();
  const inspectorPort = inspect ? await freePort() : 0;
  const settings: Record<string, string> = {
    'database.url': schema.url,
    'socket.address': '127.0.0.1',
    'socket.port': '0',
    'metrics.prometheus_port': String(metricsPort),
    'session.token_expiry_sec': '7200',
    'auth.bcrypt_cost': '4',
    ...flags,
  };
  const args = Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
  const inspection = inspect ? [`--inspect=127.0.0.1:${inspectorPort}`, '--inspect-publish-uid=http'] : [];
  const child = spawn(process.execPath, [...inspection, '--import', 'tsx', program, 'start', '--dev', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const errors: string[] = [];
  const port = await startedPort(child, errors);
  const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    errors,
    inspectorPort,
    metrics,
    get hasExited() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    async metric(name, label = '') {
      const lines = (await metrics()).split('\n');
      const line = lines.find((each) => /^\w+/.exec(each)?.[0] === name && each.includes(label));
      return Number(line?.split(' ').at(-1) ?? Number.NaN);
    },
    async stop() {
      child.kill('SIGTERM');
      await waitFor('the node to exit', () => child.exitCode !== null || child.signalCode !== null, 30_000);
      await schema.drop();
      return child.exitCode;
    },
  };
}

async function startedPort(child: ChildProcess, errors: string[]): Promise<number> {
  let port = 0;
  let output = '';
  const read = (chunk: Buffer): void => {
    output += chunk.toString();
    const lines = output.split('\n');
    output = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      const entry = JSON.parse(line) as { level: string | number; msg: string; port?: number };
      if (entry.msg === 'Startup done') port = entry.port ?? 0;
      if (entry.level === 'error' || entry.level === 'fatal' || Number(entry.level) >= 50) errors.push(line);
    }
  };
  child.stdout?.on('data', read);
  child.stderr?.on('data', (chunk: Buffer) => {
    const text = chunk.toString();
    if (!/^(Debugger|Waiting for the debugger)/.test(text)) errors.push(text);
  });
  await waitFor(
    'the node to start',
    () => {
      if (child.exitCode !== null) throw new Error(`the node exited with ${child.exitCode}: ${errors.join('\n')}`);
      return port > 0;
    },
    30_000,
  );
  return port;
}
